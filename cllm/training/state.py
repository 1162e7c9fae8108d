"""The shared state of a run as tensors, for the processes that compute (see `cllm.training.layout`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cllm.model.config import TransformerConfig
from cllm.spheres import SharedArrays
from cllm.training.layout import SIDES, Parameter, parameters, parts, side_of


@dataclass(frozen=True)
class Learned:
    """One side of what is learned, by part."""

    weights: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]


class TensorState:
    """The same memory as tensors: by name for who computes a position, by part for who sums and updates.

    `gradients` are written by who computes; `gradient_parts` are the run's rows, which are summed for an update, and
    `own_gradient_parts` those of the worker's sphere: the same ones, where there is one level.
    """

    def __init__(
        self, shared: SharedArrays, config: TransformerConfig, dtype: str, rows: SharedArrays | None = None
    ) -> None:
        """`rows`: of the sphere below, whose workers have them; its sums are the run's rows then, in fp32."""
        self._places, self.parts = parameters(config), parts(config)
        kind = getattr(torch, dtype)
        self._weights = torch.from_numpy(shared["weights"])
        compute = torch.from_numpy(shared["compute"]).view(kind)
        summed = torch.from_numpy(shared["gradients"]).view(torch.float32 if rows else kind)
        written = torch.from_numpy(rows["gradients"]).view(kind) if rows else summed
        self.compute = self._named(compute)
        self.gradients = [self._named(row) for row in written]
        self.compute_parts = views(compute, self.parts)
        self.gradient_parts = [views(row, self.parts) for row in summed]
        self.own_gradient_parts = [views(row, self.parts) for row in written]
        self._sides = [
            Learned(
                *(views(torch.from_numpy(shared[name][side]), self.parts) for name in ("weights", "first", "second"))
            )
            for side in range(SIDES)
        ]

    def after(self, step: int) -> Learned:
        """What is learned when so many steps are done."""
        return self._sides[side_of(step)]

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights when so many steps are done, by name."""
        return self._named(self._weights[side_of(step)])

    def _named(self, vector: Tensor) -> dict[str, Tensor]:
        names = [place.name for place in self._places]
        return dict(zip(names, views(vector, self._places), strict=True))


def views(vector: Tensor, places: Sequence[Parameter]) -> list[Tensor]:
    """The parts of a vector that lie at some places."""
    return [vector[place.offset : place.offset + place.size].view(place.shape) for place in places]
