"""The numbers of a run that all its processes see: weights, optimizer state, and the gradients of twelve positions.

All parameters lie in one vector, each beginning on a cache line, so a position's gradient is one vector too.

    weights    fp32 (2, P)      what is learned, checkpointed and shipped
    first      fp32 (2, P)      momentum (Muon) or first moment (AdamW)
    second     fp32 (2, P)      second moment (AdamW), unused for matrices
    compute    bf16 or fp32 (P,)      the weights as the matrix products read them
    gradients  bf16 or fp32 (12, P)   one row a position, written by whoever computed it; fp32 of two levels

Of two levels each position is a sphere with rows of its own (`row_layout`), and writes their sum into the row here.

What is learned has two sides: a step's update reads one and writes the other, so that it can be made again where a
worker ends in the middle of it. Before step number s, counted from 0, the numbers are on the side s % 2 (`side_of`).
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from cllm.model.config import TransformerConfig, fused_rows, is_matrix, parameter_shapes
from cllm.spheres import SharedArrays
from cllm.spheres.order import POSITIONS

SIDES = 2
ALIGNED_ELEMENTS = 32  # 64 bytes of bfloat16
PART_ELEMENTS = 1 << 16  # of what is no matrix: an embedding of 4,096 by 192 is 13 parts
MEMORY_MARGIN = 1.2  # for a checkpoint's copy, and what the workers take beside the run's numbers


@dataclass(frozen=True)
class Parameter:
    """A parameter's place in the vectors."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return prod(self.shape)


def parameters(config: TransformerConfig) -> list[Parameter]:
    """The places of all parameters, in order of `parameter_shapes`."""
    places, offset = [], 0
    for name, shape in parameter_shapes(config).items():
        places.append(Parameter(name, shape, offset))
        offset += -(-prod(shape) // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS
    return places


def parts(config: TransformerConfig) -> list[Parameter]:
    """What one worker sums and updates at a time: each matrix, fused ones apart, and some rows of what is no matrix.

    They are the same however many workers there are, so that a sum over them is, too.
    """
    found = []
    for place in parameters(config):
        width = prod(place.shape[1:])
        if is_matrix(place.name):
            rows = fused_rows(config, place.name)
        else:
            most = PART_ELEMENTS // width  # no row is longer than a part
            whole, rest = divmod(place.shape[0], most)
            rows = (*[most] * whole, *[rest] * (rest > 0))
        offset = place.offset
        for count in rows:
            found.append(Parameter(place.name, (count, *place.shape[1:]), offset))
            offset += count * width
    return found


Layout = dict[str, tuple[str, tuple[int, ...]]]


def layout(config: TransformerConfig, dtype: str, levels: int = 1) -> Layout:
    """The shared arrays of a run; bfloat16 is uint16 to NumPy."""
    size, stored = vector_size(config), stored_as(dtype)
    return {
        "weights": ("float32", (SIDES, size)),
        "first": ("float32", (SIDES, size)),
        "second": ("float32", (SIDES, size)),
        "compute": (stored, (size,)),
        "gradients": (stored if levels == 1 else "float32", (POSITIONS, size)),
    }


def row_layout(config: TransformerConfig, dtype: str) -> Layout:
    """The shared arrays of a sphere whose control node is a worker itself: its positions' gradients."""
    return {"gradients": (stored_as(dtype), (POSITIONS, vector_size(config)))}


def vector_size(config: TransformerConfig) -> int:
    """Numbers in a vector of all parameters."""
    last = parameters(config)[-1]
    return last.offset + -(-last.size // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS


def stored_as(dtype: str) -> str:
    """NumPy's name of what products read."""
    return "uint16" if dtype == "bfloat16" else "float32"


def side_of(step: int) -> int:
    """Where the numbers are when so many steps are done."""
    return step % SIDES


def needed_bytes(config: TransformerConfig, dtype: str, levels: int = 1) -> float:
    """Bytes of memory that learning takes: the shared arrays, of two levels with two spheres, and a margin."""
    layouts = [layout(config, dtype, levels), *[row_layout(config, dtype)] * (2 * (levels - 1))]
    sizes = [np.dtype(kind).itemsize * prod(shape) for arrays in layouts for kind, shape in arrays.values()]
    return MEMORY_MARGIN * sum(sizes)


def named_arrays(shared: SharedArrays, array: str, config: TransformerConfig, step: int) -> dict[str, Any]:
    """Each parameter's part of what is learned in so many steps, by name: views, not copies."""
    vector = shared[array][side_of(step)]
    return {p.name: vector[p.offset : p.offset + p.size].reshape(p.shape) for p in parameters(config)}
