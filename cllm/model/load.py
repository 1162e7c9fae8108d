"""Load a network for inference from a model directory."""

from pathlib import Path

import torch

from cllm.model.config import TransformerConfig
from cllm.model.transformer import Transformer
from cllm.model.weights import Weights, load_weights


def load_model(directory: Path, dtype: torch.dtype) -> Transformer:
    """Load the network of a model directory, which is verified, in `dtype` and without gradients."""
    return build_model(*load_weights(directory), dtype)


def build_model(config: TransformerConfig, weights: Weights, dtype: torch.dtype) -> Transformer:
    """Build a network with these weights, in `dtype` and without gradients."""
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict({name: torch.from_numpy(weight).to(dtype) for name, weight in weights.items()}, assign=True)
    return model.requires_grad_(False).eval()
