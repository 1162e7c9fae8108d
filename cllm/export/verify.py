"""Verification of an export before it gets its final name: it is read back, then loaded by its runtime.

If the runtime is not installed, the report notes this and only the read-back check is done.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cllm.errors import ExportError
from cllm.export import gguf, gguf_model, huggingface
from cllm.export.comparison import bits_per_byte, compare_outputs, require_same_ids
from cllm.export.gguf import Tensor
from cllm.export.quantization import F32
from cllm.export.runtimes import LLAMA, TRANSFORMERS, Runtime, run_export
from cllm.export.tensor_names import Array, ExportFormat, fuse_weights, split_weights
from cllm.export.trained_network import TrainedNetwork
from cllm.export.verification_set import VerificationSet
from cllm.model.load import build_model
from cllm.tokenizer import Tokenizer

# Tolerance of logits per 512 tokens of context: transformers computes rotary angles in float32, whose error grows with
# the position. Measured at 511 tokens: 3e-5 to 5e-5 with seven trained networks (2026-11-27).
TRANSFORMERS_TOLERANCE, TRANSFORMERS_TOKENS = 1e-4, 512
# Tolerance of log-probabilities, compared with cllm on the file's own values. llama.cpp also rounds the activations
# that it multiplies with f16 or q8_0. Measured: 6e-5, 4e-3, 0.14 with libuv's 4 x 256; 1e-4, 0.02, 0.55 with 88 million
# random weights (2026-11-27).
LLAMA_TOLERANCES = {"f32": 5e-3, "f16": 5e-2, "q8_0": 1.0}

Environment = Mapping[str, str]  # environment of the runtime's process


def verify_huggingface(
    trained: TrainedNetwork, verification_set: VerificationSet, folder: Path, environment: Environment = os.environ
) -> dict[str, Any]:
    """Verify a Hugging Face export; return a report.

    Raises ExportError if the folder does not hold the model, or if transformers computes something else.
    """
    config, values = huggingface.read_huggingface(folder)
    require(config == huggingface.config_of(trained), huggingface.CONFIG)
    tensors = {name: Tensor(name, each, F32) for name, each in values.items()}
    weights = require_same_tensors(trained, tensors, "huggingface")
    found = require_same_tokenization(
        huggingface.TOKENIZER, Tokenizer.load(folder / huggingface.TOKENIZER), verification_set
    )
    tolerance = TRANSFORMERS_TOLERANCE * max(1.0, trained.config.context_length / TRANSFORMERS_TOKENS)
    runtime = compare_with_runtime(TRANSFORMERS, trained, weights, verification_set, folder, tolerance, environment)
    return {"tensors": len(tensors), **found, "runtime": runtime}


def verify_gguf(
    trained: TrainedNetwork,
    verification_set: VerificationSet,
    path: Path,
    kind: str,
    environment: Environment = os.environ,
) -> dict[str, Any]:
    """Verify a GGUF export; return a report.

    Raises ExportError if the file does not hold the model, or if llama.cpp computes something else.
    """
    metadata, tensors = gguf.read(path)
    require(metadata == gguf_model.metadata_of(trained, kind), "the file's metadata")
    weights = require_same_tensors(trained, tensors, "gguf")
    found = require_same_tokenization("the file's tokenizer", gguf_model.tokenizer_of(metadata), verification_set)
    cost = None if kind == "f32" else quantization_cost(trained, weights, verification_set)
    runtime = compare_with_runtime(LLAMA, trained, weights, verification_set, path, LLAMA_TOLERANCES[kind], environment)
    return {"tensors": len(tensors), **found, "quantization_cost": cost, "runtime": runtime}


def require(condition: bool, what: str) -> None:
    """Raise ExportError if `condition` is False: `what` did not read back as written."""
    if not condition:
        raise ExportError(f"{what} did not read back as written: the disk or the memory may be failing, try again")


def require_same_tensors(
    trained: TrainedNetwork, tensors: Mapping[str, Tensor], export_format: ExportFormat
) -> Mapping[str, Array]:
    """Return an export's tensors (any shape) as weights of cllm.

    Raises ExportError if a tensor is missing or differs by more than the rounding error of its type.
    """
    expected = {
        getattr(names, export_format): values for names, values in split_weights(trained.config, trained.weights)
    }
    require(tensors.keys() == expected.keys(), "the names of the tensors")
    for name, ours in expected.items():
        theirs, ggml_type = tensors[name].values, tensors[name].ggml_type
        max_error = ggml_type.relative_error * np.abs(ours).max(-1, keepdims=True) + ggml_type.absolute_error
        require(theirs.shape == ours.shape and bool((np.abs(theirs - ours) <= max_error).all()), name)
    return fuse_weights(trained.config, {name: tensor.values for name, tensor in tensors.items()}, export_format)


def require_same_tokenization(name: str, tokenizer: Tokenizer, verification_set: VerificationSet) -> dict[str, int]:
    """Return the number and size of the texts that a tokenizer encodes like cllm's.

    Raises ExportError if the ids of a text differ.
    """
    require_same_ids(name, [tokenizer.encode(text.encode()) for text in verification_set.texts], verification_set)
    return {
        "texts": len(verification_set.texts),
        "text_bytes": sum(len(text.encode()) for text in verification_set.texts),
    }


def quantization_cost(
    trained: TrainedNetwork, weights: Mapping[str, Array], verification_set: VerificationSet
) -> dict[str, Any]:
    """Return bits per byte of the windows with the original weights and with an export's weights (any shape)."""
    token_bytes = trained.tokenizer.token_lengths().tolist()
    before, after = (
        bits_per_byte(build_model(trained.config, each, torch.float32), verification_set.windows, token_bytes)
        for each in (trained.weights, weights)
    )
    return {
        "bits_per_byte": before,
        "bits_per_byte_quantized": after,
        "tokens": sum(map(len, verification_set.windows)),
    }


def compare_with_runtime(
    runtime: Runtime,
    trained: TrainedNetwork,
    weights: Mapping[str, Array],
    verification_set: VerificationSet,
    export: Path,
    tolerance: float,
    environment: Environment,
) -> dict[str, Any]:
    """Compare cllm with an export's weights (any shape) to the export's runtime, if that is installed."""
    runtime_entry = {
        "name": runtime.name,
        "package": runtime.package,
        "version": None,
        "output_kind": runtime.output_kind,
    }
    if not runtime.is_installed:
        return runtime_entry
    output = run_export(runtime, export, verification_set, trained.config.vocab_size, environment)
    network = build_model(trained.config, weights, torch.float32)
    return {
        **runtime_entry,
        "version": output.version,
        **compare_outputs(runtime, output, network, verification_set, tolerance),
    }
