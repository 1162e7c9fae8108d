"""A model in Hugging Face transformers' form: a folder with a Qwen3 in safetensors, and its tokenizer.

transformers 4 and 5 write different files, and version 4 silently misreads some fields of version 5: the base of the
rotary embedding, which is written here under both names, the tokenizer's class, and the names of its special tokens.
Both versions read this folder identically (`tests/export/test_transformers.py`).
"""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cllm.artifacts import read_object, write_file, write_json
from cllm.errors import ArtifactError
from cllm.export.tensor_names import Array, split_weights
from cllm.export.trained_network import TrainedNetwork

WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
END_OF_TEXT, PAD = "<|endoftext|>", "<|fim_pad|>"


def write_huggingface(trained: TrainedNetwork, folder: Path) -> None:
    """Write a model's files into an empty folder."""
    tensors = {
        names.huggingface: np.ascontiguousarray(part) for names, part in split_weights(trained.config, trained.weights)
    }
    metadata = {"format": "pt"}  # version 4 rejects a file without it
    write_file(folder / WEIGHTS, safetensors.numpy.save(tensors, metadata))
    write_json(folder / CONFIG, config_of(trained))
    write_json(folder / TOKENIZER_CONFIG, tokenizer_config_of(trained))
    write_file(folder / TOKENIZER, (trained.directory / TOKENIZER).read_bytes())


def read_huggingface(folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read the configuration and the tensors (any shape, float32) of such a folder.

    Raises ArtifactError if a file cannot be read.
    """
    try:
        tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{folder / WEIGHTS} cannot be read: {error}") from None
    return read_object(folder / CONFIG), tensors


def config_of(trained: TrainedNetwork) -> dict[str, Any]:
    """Return the content of `config.json`."""
    config, special = trained.config, trained.tokenizer.special
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": config.vocab_size,
        "hidden_size": config.n_embd,
        "intermediate_size": config.n_inner,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,  # version 4's name
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},  # version 5's
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "tie_word_embeddings": config.tied,
        "bos_token_id": special[END_OF_TEXT],
        "eos_token_id": special[END_OF_TEXT],
        "pad_token_id": special[PAD],
        "dtype": "float32",
    }


def tokenizer_config_of(trained: TrainedNetwork) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": trained.config.context_length,
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "additional_special_tokens": [token for token in trained.tokenizer.special if token not in (END_OF_TEXT, PAD)],
        "add_bos_token": False,
        "model_input_names": ["input_ids", "attention_mask"],  # version 4's default is rejected by `generate`
        "clean_up_tokenization_spaces": False,  # by default decoding removes the space before a full stop
    }
