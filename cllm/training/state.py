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
    """One buffer of the weights and moments: fp32 tensors, one per part."""

    weights: list[Tensor]
    first_moment: list[Tensor]
    second_moment: list[Tensor]


class TensorState:
    """The shared arrays as tensors: by name for computing micro-batches, by part for sums and updates.

    `sphere_rows` are the gradient rows of the worker's sphere, by name, into which micro-batches are computed;
    `sphere_parts` the same rows by part. `run_parts` are the run's rows by part, which are summed for an update; with
    one level the same rows too.
    """

    def __init__(
        self, shared: SharedArrays, config: TransformerConfig, dtype: str, in_sphere: SharedArrays | None = None
    ) -> None:
        """`in_sphere`: gradients of the worker's sphere with two levels; the run's rows are then fp32 sums of them."""
        self._parameters, self.parts = parameter_slices(config), parts(config)
        kind = getattr(torch, dtype)
        self._weights = torch.from_numpy(shared["weights"])
        compute = torch.from_numpy(shared["compute"]).view(kind)
        run_gradients = torch.from_numpy(shared["gradients"]).view(torch.float32 if in_sphere else kind)
        sphere_gradients = torch.from_numpy(in_sphere["gradients"]).view(kind) if in_sphere else run_gradients
        self.compute = self._named(compute)
        self.sphere_rows = [self._named(row) for row in sphere_gradients]
        self.compute_parts = views(compute, self.parts)
        self.sphere_parts = [views(row, self.parts) for row in sphere_gradients]
        self.run_parts = [views(row, self.parts) for row in run_gradients]
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
        """The buffer of weights and moments after `step` steps."""
        return self._buffers[buffer_index(step)]

    def weights(self, step: int) -> dict[str, Tensor]:
        """The fp32 weights after `step` steps, by name; shapes as in `parameter_shapes`."""
        return self._named(self._weights[buffer_index(step)])

    def _named(self, vector: Tensor) -> dict[str, Tensor]:
        names = [parameter.name for parameter in self._parameters]
        return dict(zip(names, views(vector, self._parameters), strict=True))


def views(vector: Tensor, parameters: Sequence[ParameterSlice]) -> list[Tensor]:
    """Views of a vector (P,) at the given slices, each with its slice's shape."""
    return [
        vector[parameter.offset : parameter.offset + parameter.size].view(parameter.shape) for parameter in parameters
    ]
