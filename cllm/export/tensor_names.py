"""Tensor names in Hugging Face's and llama.cpp's Qwen3.

Both split matrices that are fused here: query, key and value, and gate and up projection. Nothing else differs: both
rotate the same pairs of channels, c and c + C/2, as `model.transformer.rotate`.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.model.config import TransformerConfig, fused_rows, parameter_shapes
from cllm.model.weights import Weights

Array = npt.NDArray[np.float32]
ExportFormat = Literal["huggingface", "gguf"]


class TensorNames(NamedTuple):
    """A tensor's name in both formats, in the tables without `.weight` and without the block's prefix."""

    huggingface: str
    gguf: str


TOP_LEVEL_NAMES = {
    "embedding": TensorNames("model.embed_tokens", "token_embd"),
    "norm": TensorNames("model.norm", "output_norm"),
    "head": TensorNames("lm_head", "output"),
}
BLOCK_NAMES = {
    "attention_norm": [TensorNames("input_layernorm", "attn_norm")],
    "attention.qkv": [
        TensorNames("self_attn.q_proj", "attn_q"),
        TensorNames("self_attn.k_proj", "attn_k"),
        TensorNames("self_attn.v_proj", "attn_v"),
    ],
    "attention.q_norm": [TensorNames("self_attn.q_norm", "attn_q_norm")],
    "attention.k_norm": [TensorNames("self_attn.k_norm", "attn_k_norm")],
    "attention.out": [TensorNames("self_attn.o_proj", "attn_output")],
    "feed_forward_norm": [TensorNames("post_attention_layernorm", "ffn_norm")],
    "feed_forward.gate_up": [TensorNames("mlp.gate_proj", "ffn_gate"), TensorNames("mlp.up_proj", "ffn_up")],
    "feed_forward.down": [TensorNames("mlp.down_proj", "ffn_down")],
}


def names_of(name: str) -> list[TensorNames]:
    """Return the full names of a parameter of cllm, one per matrix that is fused in it."""
    own = name.removesuffix(".weight")
    if own in TOP_LEVEL_NAMES:
        return [TensorNames(*[f"{each}.weight" for each in TOP_LEVEL_NAMES[own]])]
    _, layer, part = own.split(".", 2)
    return [
        TensorNames(f"model.layers.{layer}.{each.huggingface}.weight", f"blk.{layer}.{each.gguf}.weight")
        for each in BLOCK_NAMES[part]
    ]


def split_weights(config: TransformerConfig, weights: Weights) -> Iterator[tuple[TensorNames, Array]]:
    """Yield names and tensors of the unfused weights: views, matrices (rows, D) or vectors of any shape."""
    for name, weight in weights.items():
        begin = 0
        for names, rows in zip(names_of(name), fused_rows(config, name), strict=True):
            yield names, weight[begin : begin + rows]
            begin += rows


def fuse_weights(
    config: TransformerConfig, tensors: Mapping[str, Array], export_format: ExportFormat
) -> dict[str, Array]:
    """Return cllm's weights from unfused tensors of any shape, by their names in a format.

    Raises KeyError if a tensor is missing.
    """
    return {
        name: np.concatenate([tensors[getattr(names, export_format)] for names in names_of(name)])
        for name in parameter_shapes(config)
    }
