"""The numbers of a run that all its processes see: weights, optimizer state, and the gradients of twelve positions.

All parameters lie in one vector, each beginning on a cache line, so a position's gradient is one vector too.

    weights    fp32 (P,)        what is learned, checkpointed and shipped
    compute    bf16 (P,)        the same rounded, which the matrix products read; absent where they read fp32
    gradients  bf16 or fp32 (12, P)   one row a position, written by whoever computed it
    first      fp32 (P,)        momentum (Muon) or first moment (AdamW)
    second     fp32 (P,)        second moment (AdamW), unused for matrices
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from cllm.model.config import TransformerConfig, parameter_shapes
from cllm.spheres import SharedArrays
from cllm.training.plan import POSITIONS

ALIGNED_ELEMENTS = 32  # 64 bytes of bfloat16
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


def layout(config: TransformerConfig, dtype: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The shared arrays of a run; bfloat16 is uint16 to NumPy."""
    last = parameters(config)[-1]
    size = last.offset + -(-last.size // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS
    stored = "uint16" if dtype == "bfloat16" else "float32"
    arrays: dict[str, tuple[str, tuple[int, ...]]] = {
        "weights": ("float32", (size,)),
        "gradients": (stored, (POSITIONS, size)),
        "first": ("float32", (size,)),
        "second": ("float32", (size,)),
    }
    return arrays if dtype == "float32" else {**arrays, "compute": (stored, (size,))}


def needed_bytes(config: TransformerConfig, dtype: str) -> float:
    """Bytes of memory that learning takes: the shared arrays, and a margin."""
    return MEMORY_MARGIN * sum(np.dtype(kind).itemsize * prod(shape) for kind, shape in layout(config, dtype).values())


def named_arrays(shared: SharedArrays, array: str, config: TransformerConfig) -> dict[str, Any]:
    """Each parameter's part of a shared vector, by name: views, not copies."""
    vector = shared[array]
    return {p.name: vector[p.offset : p.offset + p.size].reshape(p.shape) for p in parameters(config)}
