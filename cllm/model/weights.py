"""A trained model on disk: `weights.safetensors` (fp32, by parameter name), `config.json`, `tokenizer.json`.

The directory is written atomically and verified when it is read (see `cllm.artifacts`); nothing is unpickled.
"""

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from cllm.artifacts import read_json, verify_directory, write_directory, write_json
from cllm.errors import ArtifactError, UsageError
from cllm.model.config import TransformerConfig, parameter_shapes

Weights = Mapping[str, npt.NDArray[np.float32]]


def weights_sha256(weights: Weights) -> str:
    """SHA-256 hex digest of all tensors' bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def save_model(directory: Path, config: TransformerConfig, weights: Weights, tokenizer: Path, **metadata: Any) -> str:
    """Write a model directory atomically; `metadata` goes into its manifest. Returns the weights' SHA-256 (hex)."""

    def fill(folder: Path) -> None:
        contiguous = {name: np.ascontiguousarray(weight) for name, weight in weights.items()}
        safetensors.numpy.save_file(contiguous, folder / "weights.safetensors")
        write_json(folder / "config.json", dataclasses.asdict(config))
        shutil.copyfile(tokenizer, folder / "tokenizer.json")

    write_directory(directory, fill, weights_sha256=(digest := weights_sha256(weights)), **metadata)
    return digest


def load_weights(directory: Path) -> tuple[TransformerConfig, dict[str, npt.NDArray[np.float32]]]:
    """Config and weights of a model directory; shapes as in `parameter_shapes`.

    ArtifactError: a file is missing, altered or malformed, or a tensor has another shape than the config gives.
    """
    verify_directory(directory, "weights.safetensors", "config.json", "tokenizer.json")
    path = directory / "config.json"
    try:
        config = TransformerConfig(**read_json(path))
    except (TypeError, UsageError) as error:
        raise ArtifactError(f"{path} is not a model's configuration: {error}") from None
    try:
        weights = safetensors.numpy.load_file(directory / "weights.safetensors")
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{directory / 'weights.safetensors'} cannot be read: {error}") from None
    expected = parameter_shapes(config)
    if (found := {name: weight.shape for name, weight in weights.items()}) != expected:
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise ArtifactError(f"the weights in {directory} do not fit its config.json: {', '.join(wrong[:3])}")
    return config, weights
