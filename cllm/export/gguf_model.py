"""A model in llama.cpp's form: one GGUF file with the network and the tokenizer.

Metadata keys and token types are llama.cpp's. `tokenizer.ggml.pre` names one of llama.cpp's built-in pre-tokenization
patterns: "qwen2" is the pattern that our tokenizer was trained with. llama.cpp rejects an unknown name, but a wrong
known name silently changes the ids.
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

FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}  # llama.cpp's number for the type of most tensors
NORMAL, CONTROL = 1, 3  # token types
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
    """Write a model as GGUF with matrices of type `kind` (see GGML_TYPES).

    Raises ExportError if a weight is too large for the type.
    """
    requested = GGML_TYPES[kind]
    tensors = [
        Tensor(names.gguf, values, ggml_type_of(values.shape, requested))
        for names, values in split_weights(trained.config, trained.weights)
    ]
    write(path, metadata_of(trained, kind), tensors)


def metadata_of(trained: TrainedNetwork, kind: str) -> dict[str, MetadataValue]:
    """Return all metadata of a model's file."""
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
    """Return the tokenizer's metadata: tokens by id, merges by rank, and the special tokens' roles."""
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
    """Build the tokenizer that a file's metadata describes, with cllm's own pre-tokenization pattern."""
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    return Tokenizer.from_merges(metadata["tokenizer.ggml.tokens"], merges)


def _as_float32(number: float) -> float:
    """Round to float32, the type of float metadata."""
    return float(np.float32(number))
