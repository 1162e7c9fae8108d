"""The shared arrays of a run: weights, optimizer state, and the gradients of the twelve positions of a step.

All parameters lie in one vector of P elements, each aligned to a cache line; a position's gradient is one vector.

    weights        fp32 (2, P)      trained, checkpointed and exported
    first_moment   fp32 (2, P)      momentum (Muon) or first moment (AdamW)
    second_moment  fp32 (2, P)      second moment (AdamW), unused for matrices
    compute        bf16 or fp32 (P,)      the weights in the dtype of the matrix products
    gradients      bf16 or fp32 (12, P)   one row per position; fp32 with two levels

With one level a position is a micro-batch, and the worker that computed it writes its row. With two levels it is a
sphere's twelve micro-batches: that sphere has gradient rows of its own (`gradient_layout`), whose sum is written into
the row here. If several machines share a step, each reduces the rows into row 0 of its own memory first
(`cllm.training.peer`): `is_summed` in calls means that row 0 holds the sum already, and the others are not added.

Weights and moments are double-buffered: an update reads one buffer and writes the other, so it can be repeated if a
worker ends in the middle of it. Before step s, counted from 0, the current buffer is s % 2 (`buffer_index`).
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from cllm.model.config import TransformerConfig, fused_rows, is_matrix, parameter_shapes
from cllm.spheres import SharedArrays
from cllm.spheres.order import FANOUT

NUM_BUFFERS = 2
ALIGNED_ELEMENTS = 32  # 64 bytes of bfloat16
PART_ELEMENTS = 1 << 16  # of a part that is not a matrix: an embedding of 4,096 x 192 is 13 parts
MEMORY_MARGIN = 1.2  # for a checkpoint's copy, and the workers' own memory


@dataclass(frozen=True)
class ParameterSlice:
    """The shape and offset (in elements) of a parameter, or of a part of one, in the vectors."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return prod(self.shape)


def parameter_slices(config: TransformerConfig) -> list[ParameterSlice]:
    """The slices of all parameters, in order of `parameter_shapes`."""
    parameters, offset = [], 0
    for name, shape in parameter_shapes(config).items():
        parameters.append(ParameterSlice(name, shape, offset))
        offset += -(-prod(shape) // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS
    return parameters


def parts(config: TransformerConfig) -> list[ParameterSlice]:
    """The units in which gradients are summed and parameters updated.

    A part is a matrix, one of the matrices of a fused one, or some rows of another parameter. The parts do not depend
    on the number of workers, so sums over them are bit-identical for any number.
    """
    found = []
    for parameter in parameter_slices(config):
        width = prod(parameter.shape[1:])
        if is_matrix(parameter.name):
            rows = fused_rows(config, parameter.name)
        else:
            max_rows = PART_ELEMENTS // width  # no row is longer than a part
            whole, rest = divmod(parameter.shape[0], max_rows)
            rows = (*[max_rows] * whole, *[rest] * (rest > 0))
        offset = parameter.offset
        for count in rows:
            found.append(ParameterSlice(parameter.name, (count, *parameter.shape[1:]), offset))
            offset += count * width
    return found


Layout = dict[str, tuple[str, tuple[int, ...]]]


def layout(config: TransformerConfig, dtype: str, levels: int = 1) -> Layout:
    """The dtypes and shapes of a run's shared arrays; bfloat16 is uint16 in NumPy."""
    size, array_dtype = vector_size(config), numpy_dtype(dtype)
    return {
        "weights": ("float32", (NUM_BUFFERS, size)),
        "first_moment": ("float32", (NUM_BUFFERS, size)),
        "second_moment": ("float32", (NUM_BUFFERS, size)),
        "compute": (array_dtype, (size,)),
        "gradients": (array_dtype if levels == 1 else "float32", (FANOUT, size)),
    }


def gradient_layout(config: TransformerConfig, dtype: str) -> Layout:
    """The shared arrays of a sphere below the first level: the gradients of its micro-batches, (12, P)."""
    return {"gradients": (numpy_dtype(dtype), (FANOUT, vector_size(config)))}


def vector_size(config: TransformerConfig) -> int:
    """The number of elements P in a vector of all parameters, padding included."""
    last = parameter_slices(config)[-1]
    return last.offset + -(-last.size // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS


def numpy_dtype(dtype: str) -> str:
    """The NumPy dtype that stores `dtype`: "uint16" for bfloat16, else "float32"."""
    return "uint16" if dtype == "bfloat16" else "float32"


def buffer_index(step: int) -> int:
    """The buffer, 0 or 1, that holds the state after `step` steps."""
    return step % NUM_BUFFERS


def num_spheres(num_workers: int) -> int:
    """The fewest spheres that hold `num_workers` workers; with two levels each has gradients of its own."""
    return -(-num_workers // FANOUT)


def needed_bytes(config: TransformerConfig, dtype: str, levels: int, num_workers: int) -> float:
    """Bytes of memory that training with `num_workers` workers on this machine needs.

    These are the shared arrays of the run, with two levels those of each sphere of workers, and a margin.
    """
    layouts = [layout(config, dtype, levels)]
    if levels > 1:
        layouts += [gradient_layout(config, dtype)] * num_spheres(num_workers)
    sizes = [np.dtype(kind).itemsize * prod(shape) for arrays in layouts for kind, shape in arrays.values()]
    return MEMORY_MARGIN * sum(sizes)


def named_arrays(shared: SharedArrays, array: str, config: TransformerConfig, step: int) -> dict[str, Any]:
    """Views of each parameter's slice of `shared[array]` after `step` steps, by name."""
    vector = shared[array][buffer_index(step)]
    return {p.name: vector[p.offset : p.offset + p.size].reshape(p.shape) for p in parameter_slices(config)}
