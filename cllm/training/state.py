"""The shared state of a run as tensors, for the processes that compute (see `cllm.training.layout`)."""

import torch
from torch import Tensor

from cllm.model.config import TransformerConfig
from cllm.spheres import SharedArrays
from cllm.training.layout import parameters


class TensorState:
    """The same memory as tensors, for the processes that compute."""

    def __init__(self, shared: SharedArrays, config: TransformerConfig, dtype: str) -> None:
        self.places = parameters(config)
        self.weights = self._views(torch.from_numpy(shared["weights"]))
        self.first = self._views(torch.from_numpy(shared["first"]))
        self.second = self._views(torch.from_numpy(shared["second"]))
        gradients = torch.from_numpy(shared["gradients"])
        if dtype == "bfloat16":
            self.compute = self._views(torch.from_numpy(shared["compute"]).view(torch.bfloat16))
            gradients = gradients.view(torch.bfloat16)
        else:
            self.compute = self.weights
        self.gradients = [self._views(row) for row in gradients]  # position -> parameter

    def _views(self, vector: Tensor) -> list[Tensor]:
        return [vector[p.offset : p.offset + p.size].view(p.shape) for p in self.places]
