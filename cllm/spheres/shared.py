"""Named arrays in memory shared by several processes of one machine, without copies.

The memory is anonymous (`memfd_create`): workers inherit its descriptor, and the kernel frees it when the last process
that holds it ends, for whatever reason.
"""

import mmap
import os
from collections.abc import Mapping
from math import prod

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # bytes: a cache line, and one AVX-512 register

Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # name -> (NumPy dtype, shape)


def create_shared_memory() -> int:
    """A descriptor of empty shared memory, which workers can inherit before its size is known."""
    return os.memfd_create("cllm")


class SharedArrays:
    """Arrays laid out one after another in one shared mapping; `arrays[name]` is a view, shapes as in `layout`."""

    def __init__(self, layout: Layout, descriptor: int) -> None:
        """Map `descriptor` (from `create_shared_memory`) as arrays; the first process to do so sizes it, zeroed."""
        sizes = {name: prod(shape) * np.dtype(dtype).itemsize for name, (dtype, shape) in layout.items()}
        total = sum(_padded(size) for size in sizes.values())
        if os.fstat(descriptor).st_size < total:
            os.ftruncate(descriptor, total)
        self._mapping = mmap.mmap(descriptor, total)
        self._arrays: dict[str, npt.NDArray[np.generic]] = {}
        offset = 0
        for name, (dtype, shape) in layout.items():
            view = np.frombuffer(self._mapping, dtype, prod(shape), offset).reshape(shape)
            self._arrays[name] = view
            offset += _padded(sizes[name])

    def __getitem__(self, name: str) -> npt.NDArray[np.generic]:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
