"""The shared state of a run as tensors, for the processes that compute (see `cllm.training.layout`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cllm.model.config import TransformerConfig
from cllm.spheres import SharedArrays
from cllm.training.layout import NUM_BUFFERS, ParameterSlice, buffer_index, parameter_slices, parts


@dataclass(frozen=True)
class ParameterState:
    """One side of what is learned, by part."""

    weights: list[Tensor]
    first_moment: list[Tensor]
    second_moment: list[Tensor]


class TensorState:
    """The same memory as tensors: by name for who computes a position, by part for who sums and updates.

    `gradients` are written by who computes; `gradient_parts` are the run's rows, which are summed for an update, and
    `own_gradient_parts` those of the worker's sphere: the same ones, where there is one level.
    """

    def __init__(
        self, shared: SharedArrays, config: TransformerConfig, dtype: str, own_arrays: SharedArrays | None = None
    ) -> None:
        """`own_arrays`: of the sphere below, whose workers have them; its sums are the run's rows then, in fp32."""
        self._parameters, self.parts = parameter_slices(config), parts(config)
        kind = getattr(torch, dtype)
        self._weights = torch.from_numpy(shared["weights"])
        compute = torch.from_numpy(shared["compute"]).view(kind)
        run_gradients = torch.from_numpy(shared["gradients"]).view(torch.float32 if own_arrays else kind)
        own_gradients = torch.from_numpy(own_arrays["gradients"]).view(kind) if own_arrays else run_gradients
        self.compute = self._named(compute)
        self.gradients = [self._named(row) for row in own_gradients]
        self.compute_parts = views(compute, self.parts)
        self.gradient_parts = [views(row, self.parts) for row in run_gradients]
        self.own_gradient_parts = [views(row, self.parts) for row in own_gradients]
        self._buffers = [
            ParameterState(
                *(
                    views(torch.from_numpy(shared[name][buffer]), self.parts)
                    for name in ("weights", "first_moment", "second_moment")
                )
            )
            for buffer in range(NUM_BUFFERS)
        ]

    def parameter_state(self, step: int) -> ParameterState:
        """What is learned when so many steps are done."""
        return self._buffers[buffer_index(step)]

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights when so many steps are done, by name."""
        return self._named(self._weights[buffer_index(step)])

    def _named(self, vector: Tensor) -> dict[str, Tensor]:
        names = [parameter.name for parameter in self._parameters]
        return dict(zip(names, views(vector, self._parameters), strict=True))


def views(vector: Tensor, parameters: Sequence[ParameterSlice]) -> list[Tensor]:
    """The parts of a vector that lie at some places."""
    return [
        vector[parameter.offset : parameter.offset + parameter.size].view(parameter.shape) for parameter in parameters
    ]
