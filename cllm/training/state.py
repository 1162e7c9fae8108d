"""The shared state of a run as tensors, for the processes that compute (see `cllm.training.layout`)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cllm.model.config import TransformerConfig
from cllm.spheres import SharedArrays
from cllm.training.layout import SIDES, parameters, side_of


@dataclass(frozen=True)
class Learned:
    """One side of what is learned, by parameter."""

    weights: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]


class TensorState:
    """The same memory as tensors: `compute` by parameter, `gradients` by position and parameter, and `after` steps."""

    def __init__(self, shared: SharedArrays, config: TransformerConfig, dtype: str) -> None:
        self.places = parameters(config)
        self._sides = [
            Learned(*(self._views(torch.from_numpy(shared[name][side])) for name in ("weights", "first", "second")))
            for side in range(SIDES)
        ]
        kind = getattr(torch, dtype)
        self.compute = self._views(torch.from_numpy(shared["compute"]).view(kind))
        self.gradients = [self._views(row) for row in torch.from_numpy(shared["gradients"]).view(kind)]

    def after(self, step: int) -> "Learned":
        """What is learned when so many steps are done."""
        return self._sides[side_of(step)]

    def _views(self, vector: Tensor) -> list[Tensor]:
        return [vector[p.offset : p.offset + p.size].view(p.shape) for p in self.places]
