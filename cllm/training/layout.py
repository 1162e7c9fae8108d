"""The numbers of a run that all its processes see: weights, optimizer state, and the gradients of twelve positions.

All parameters lie in one vector, each beginning on a cache line, so a position's gradient is one vector too.

    weights        fp32 (2, P)      what is learned, checkpointed and shipped
    first_moment   fp32 (2, P)      momentum (Muon) or first moment (AdamW)
    second_moment  fp32 (2, P)      second moment (AdamW), unused for matrices
    compute        bf16 or fp32 (P,)      the weights as the matrix products read them
    gradients      bf16 or fp32 (12, P)   one row a position, written by whoever computed it; fp32 of two levels

Of two levels each position is a sphere with rows of its own (`gradient_layout`), and writes their sum into the row
here.

What is learned has two sides: a step's update reads one and writes the other, so that it can be made again where a
worker ends in the middle of it. Before step number s, counted from 0, the numbers are on the side s % 2
(`buffer_index`).
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
PART_ELEMENTS = 1 << 16  # of what is no matrix: an embedding of 4,096 by 192 is 13 parts
MEMORY_MARGIN = 1.2  # for a checkpoint's copy, and what the workers take beside the run's numbers


@dataclass(frozen=True)
class ParameterSlice:
    """A parameter's place in the vectors."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return prod(self.shape)


def parameter_slices(config: TransformerConfig) -> list[ParameterSlice]:
    """The places of all parameters, in order of `parameter_shapes`."""
    parameters, offset = [], 0
    for name, shape in parameter_shapes(config).items():
        parameters.append(ParameterSlice(name, shape, offset))
        offset += -(-prod(shape) // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS
    return parameters


def parts(config: TransformerConfig) -> list[ParameterSlice]:
    """What one worker sums and updates at a time: each matrix, fused ones apart, and some rows of what is no matrix.

    They are the same however many workers there are, so that a sum over them is, too.
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
    """The shared arrays of a run; bfloat16 is uint16 to NumPy."""
    size, array_dtype = vector_size(config), numpy_dtype(dtype)
    return {
        "weights": ("float32", (NUM_BUFFERS, size)),
        "first_moment": ("float32", (NUM_BUFFERS, size)),
        "second_moment": ("float32", (NUM_BUFFERS, size)),
        "compute": (array_dtype, (size,)),
        "gradients": (array_dtype if levels == 1 else "float32", (FANOUT, size)),
    }


def gradient_layout(config: TransformerConfig, dtype: str) -> Layout:
    """The shared arrays of a sphere whose control node is a worker itself: its positions' gradients."""
    return {"gradients": (numpy_dtype(dtype), (FANOUT, vector_size(config)))}


def vector_size(config: TransformerConfig) -> int:
    """Numbers in a vector of all parameters."""
    last = parameter_slices(config)[-1]
    return last.offset + -(-last.size // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS


def numpy_dtype(dtype: str) -> str:
    """NumPy's name of what products read."""
    return "uint16" if dtype == "bfloat16" else "float32"


def buffer_index(step: int) -> int:
    """Where the numbers are when so many steps are done."""
    return step % NUM_BUFFERS


def needed_bytes(config: TransformerConfig, dtype: str, levels: int = 1) -> float:
    """Bytes of memory that learning takes: the shared arrays, of two levels with two spheres, and a margin."""
    layouts = [layout(config, dtype, levels), *[gradient_layout(config, dtype)] * (2 * (levels - 1))]
    sizes = [np.dtype(kind).itemsize * prod(shape) for arrays in layouts for kind, shape in arrays.values()]
    return MEMORY_MARGIN * sum(sizes)


def named_arrays(shared: SharedArrays, array: str, config: TransformerConfig, step: int) -> dict[str, Any]:
    """Each parameter's part of what is learned in so many steps, by name: views, not copies."""
    vector = shared[array][buffer_index(step)]
    return {p.name: vector[p.offset : p.offset + p.size].reshape(p.shape) for p in parameter_slices(config)}
