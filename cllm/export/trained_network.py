"""A trained network to export: configuration, weights and tokenizer."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from cllm.artifacts import read_object
from cllm.errors import ArtifactError
from cllm.model.config import TransformerConfig
from cllm.model.weights import Weights, load_weights, weights_sha256
from cllm.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """The verified content of a model directory."""

    directory: Path
    config: TransformerConfig
    weights: Weights
    tokenizer: Tokenizer

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load a model directory.

        Raises ArtifactError if the directory is damaged or the vocabulary sizes of tokenizer and network differ.
        """
        config, weights = load_weights(directory)
        tokenizer = Tokenizer.load(directory / "tokenizer.json")
        if tokenizer.vocab_size != config.vocab_size:
            found = f"{tokenizer.vocab_size} tokens for a network of {config.vocab_size}"
            raise ArtifactError(f"{directory / 'tokenizer.json'} has {found}")
        return cls(directory=directory, config=config, weights=weights, tokenizer=tokenizer)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights, as in the model's manifest and the scorecard."""
        return weights_sha256(self.weights)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The content of `tokenizer.json`."""
        return read_object(self.directory / "tokenizer.json")
