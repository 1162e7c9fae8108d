"""A model as llama.cpp reads it: one GGUF file with the network, the words, and what their ids mean.

The settings' names and the type numbers of tokens are llama.cpp's. It splits text by `tokenizer.ggml.pre`, a name of a
pattern that it has itself: "qwen2" is the one our tokenizer learned by. It refuses to load a name that it does not
know, and reads other ids without a word by a name that is not the right one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cllm.export.gguf import MetadataValue, Tensor, write
from cllm.export.quantization import GGML_TYPES, ggml_type_of
from cllm.export.tensor_names import split_weights
from cllm.export.trained_network import TrainedNetwork
from cllm.tokenizer import Tokenizer

FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}  # of most of a file's numbers
NORMAL, CONTROL = 1, 3  # of tokens
SPECIAL_TOKEN_ROLES = {
    "bos": "<|endoftext|>",
    "eos": "<|endoftext|>",
    "padding": "<|fim_pad|>",
    "fim_pre": "<|fim_prefix|>",
    "fim_suf": "<|fim_suffix|>",
    "fim_mid": "<|fim_middle|>",
    "fim_pad": "<|fim_pad|>",
    "fim_rep": "<|repo_name|>",
    "fim_sep": "<|file_sep|>",
}


def write_gguf(trained: TrainedNetwork, path: Path, kind: str) -> None:
    """Write a model, its matrices as `kind` (see ENCODINGS). ExportError: a weight is too large for it."""
    requested = GGML_TYPES[kind]
    tensors = [
        Tensor(names.gguf, values, ggml_type_of(values.shape, requested))
        for names, values in split_weights(trained.config, trained.weights)
    ]
    write(path, metadata_of(trained, kind), tensors)


def metadata_of(trained: TrainedNetwork, kind: str) -> dict[str, MetadataValue]:
    """All settings of a file."""
    config = trained.config
    shape: dict[str, MetadataValue] = {
        "context_length": config.context_length,
        "embedding_length": config.n_embd,
        "block_count": config.n_layer,
        "feed_forward_length": config.n_inner,
        "attention.head_count": config.n_head,
        "attention.head_count_kv": config.n_kv_head,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": _as_float32(config.norm_eps),
        "rope.freq_base": _as_float32(config.rope_theta),
    }
    return {
        "general.architecture": "qwen3",
        "general.name": "cllm",
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        "cllm.weights_sha256": trained.sha256,
        **{f"qwen3.{name}": value for name, value in shape.items()},
        **tokenizer_metadata_of(trained),
    }


def tokenizer_metadata_of(trained: TrainedNetwork) -> dict[str, MetadataValue]:
    """The tokenizer: tokens in the order of their ids, merges in the order in which they were learned, roles."""
    special = trained.tokenizer.special
    model: dict[str, Any] = trained.definition["model"]
    ids = {**model["vocab"], **special}
    tokens = sorted(ids, key=ids.__getitem__)
    roles: dict[str, MetadataValue] = {
        f"tokenizer.ggml.{role}_token_id": special[token] for role, token in SPECIAL_TOKEN_ROLES.items()
    }
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if token in special else NORMAL for token in tokens],
        "tokenizer.ggml.merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        "tokenizer.ggml.add_bos_token": False,
        **roles,
    }


def tokenizer_of(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a file's settings describe, split by our own pattern."""
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    return Tokenizer.from_merges(metadata["tokenizer.ggml.tokens"], merges)


def _as_float32(number: float) -> float:
    """A setting's, which is an f32."""
    return float(np.float32(number))
