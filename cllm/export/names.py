"""What each of our tensors is called by others.

They keep apart what is one matrix here: queries, keys and values, the gate and the up projection. Nothing else differs:
Hugging Face's and llama.cpp's Qwen3 turn the same pairs of channels, c and c + C/2, as `model.transformer.rotate`.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.model.config import TransformerConfig, fused_rows, parameter_shapes
from cllm.model.weights import Weights

Array = npt.NDArray[np.float32]
Dialect = Literal["huggingface", "gguf"]


class Names(NamedTuple):
    """A tensor's name for each of the others, without `.weight`; of a block's tensors, within the block."""

    huggingface: str
    gguf: str


OUTSIDE = {
    "embedding": Names("model.embed_tokens", "token_embd"),
    "norm": Names("model.norm", "output_norm"),
    "head": Names("lm_head", "output"),
}
IN_A_BLOCK = {
    "attention_norm": [Names("input_layernorm", "attn_norm")],
    "attention.qkv": [
        Names("self_attn.q_proj", "attn_q"),
        Names("self_attn.k_proj", "attn_k"),
        Names("self_attn.v_proj", "attn_v"),
    ],
    "attention.q_norm": [Names("self_attn.q_norm", "attn_q_norm")],
    "attention.k_norm": [Names("self_attn.k_norm", "attn_k_norm")],
    "attention.out": [Names("self_attn.o_proj", "attn_output")],
    "feed_forward_norm": [Names("post_attention_layernorm", "ffn_norm")],
    "feed_forward.gate_up": [Names("mlp.gate_proj", "ffn_gate"), Names("mlp.up_proj", "ffn_up")],
    "feed_forward.down": [Names("mlp.down_proj", "ffn_down")],
}


def names_of(name: str) -> list[Names]:
    """The whole names of a parameter of ours, one for each of the matrices that it is made of."""
    own = name.removesuffix(".weight")
    if own in OUTSIDE:
        return [Names(*[f"{each}.weight" for each in OUTSIDE[own]])]
    _, layer, part = own.split(".", 2)
    return [
        Names(f"model.layers.{layer}.{each.huggingface}.weight", f"blk.{layer}.{each.gguf}.weight")
        for each in IN_A_BLOCK[part]
    ]


def parts(config: TransformerConfig, weights: Weights) -> Iterator[tuple[Names, Array]]:
    """Our weights as the tensors that others keep, views of ours."""
    for name, weight in weights.items():
        begin = 0
        for names, rows in zip(names_of(name), fused_rows(config, name), strict=True):
            yield names, weight[begin : begin + rows]
            begin += rows


def whole(config: TransformerConfig, tensors: Mapping[str, Array], dialect: Dialect) -> dict[str, Array]:
    """Their tensors, by their names in a dialect, as our weights again. KeyError: one is missing."""
    return {
        name: np.concatenate([tensors[getattr(names, dialect)] for names in names_of(name)])
        for name in parameter_shapes(config)
    }
