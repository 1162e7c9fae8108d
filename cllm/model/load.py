"""From a model directory to a network that is ready to compute."""

from pathlib import Path

import torch

from cllm.model.config import TransformerConfig
from cllm.model.transformer import Transformer
from cllm.model.weights import Weights, load_weights


def load_model(directory: Path, dtype: torch.dtype) -> Transformer:
    """The network of a verified model directory, in `dtype`, without gradients."""
    return build_model(*load_weights(directory), dtype)


def build_model(config: TransformerConfig, weights: Weights, dtype: torch.dtype) -> Transformer:
    """A network that has these weights, in `dtype`, without gradients."""
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict({name: torch.from_numpy(weight).to(dtype) for name, weight in weights.items()}, assign=True)
    return model.requires_grad_(False).eval()
