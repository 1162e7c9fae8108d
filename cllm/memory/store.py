"""A memory on disk: `lines.bin` without the zeros, `arrays.safetensors`, and what it read; a verified directory.

Most bytes of lines are zero: `lines.bin` holds for each line a mask of sixteen bits and its other bytes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cllm.artifacts import verify_directory, write_directory
from cllm.errors import ArtifactError
from cllm.memory.compiled import Array, compiled
from cllm.memory.memory import Memory
from cllm.memory.state import Learned, new_learned
from cllm.tokenizer import Tokenizer

# Place of the lowest bit of each mask; 0 for no bit. To look at set bits alone takes a third of the time.
MASKS = np.arange(1 << 16)
LOWEST = np.log2(np.maximum(MASKS & -MASKS, 1)).astype(np.uint8)
LINES, ARRAYS = "lines.bin", "arrays.safetensors"


def save_memory(memory: Memory, directory: Path, **facts: Any) -> None:
    """Write a memory atomically, with `facts` in its manifest."""

    def fill(folder: Path) -> None:
        packed = np.empty(memory.learned.lines.size + 2 * len(memory.learned.lines), np.uint8)
        packed[: pack(memory.learned.lines, packed)].tofile(folder / LINES)
        arrays = {name: array for name, array in memory.learned._asdict().items() if name != "lines"}
        read = {"text": memory.text[: memory.size], "marks": memory.marks[: memory.size]}
        safetensors.numpy.save_file({**arrays, **read}, folder / ARRAYS)

    write_directory(directory, fill, kind="memory", lines=len(memory.learned.lines), **facts)


def load_memory(directory: Path, tokenizer: Tokenizer) -> Memory:
    """The memory in a directory; ArtifactError names what is wrong with it."""
    manifest = verify_directory(directory, LINES, ARRAYS)
    try:
        arrays = safetensors.numpy.load_file(directory / ARRAYS)
        text, marks = arrays.pop("text"), arrays.pop("marks")
        learned = new_learned(int(manifest["lines"]).bit_length() - 1)._replace(**arrays)
        _check_shapes(learned)
        if not unpack(np.fromfile(directory / LINES, np.uint8), learned.lines):
            raise ValueError(f"{LINES} does not hold {manifest['lines']} lines")
    except (KeyError, ValueError, SafetensorError, OSError) as error:
        raise ArtifactError(f"the memory {directory} cannot be read: {error}") from None
    return Memory(tokenizer, learned, text, marks, len(text))


def _check_shapes(learned: Learned) -> None:
    """ValueError for an array that is not as this version makes it."""
    for name, expected in new_learned(0)._asdict().items():
        array = getattr(learned, name)
        if name != "lines" and (array.shape, array.dtype) != (expected.shape, expected.dtype):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {expected.dtype} {expected.shape}")


@compiled
def pack(lines: Array, packed: Array) -> int:
    """Write lines without their zeros; the bytes written."""
    at = 0
    for line in range(len(lines)):
        mask = 0
        start = at
        at += 2
        for place in range(16):
            value = lines[line, place]
            if value:
                mask |= 1 << place
                packed[at] = value
                at += 1
        packed[start] = mask & 255
        packed[start + 1] = mask >> 8
    return at


@compiled
def unpack(packed: Array, lines: Array) -> bool:
    """Fill zeroed lines with what `pack` wrote; whether it fits exactly."""
    at = 0
    for line in range(len(lines)):
        if at + 2 > len(packed):
            return False
        mask = np.int64(packed[at]) | np.int64(packed[at + 1]) << 8
        at += 2
        while mask:
            if at >= len(packed):
                return False
            lines[line, LOWEST[mask]] = packed[at]
            mask &= mask - 1
            at += 1
    return at == len(packed)
