"""From a model directory to a network that is ready to compute."""

from pathlib import Path

import torch

from cllm.model.transformer import Transformer
from cllm.model.weights import load_weights


def load_model(directory: Path, dtype: torch.dtype) -> Transformer:
    """The network of a verified model directory, in `dtype`, without gradients."""
    config, weights = load_weights(directory)
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict({name: torch.from_numpy(weight).to(dtype) for name, weight in weights.items()}, assign=True)
    return model.requires_grad_(False).eval()
