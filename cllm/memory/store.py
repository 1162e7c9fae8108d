"""A memory on disk, in verified directories: what it learned, and what it came to know since.

    memory/   lines.bin            for each line a mask of sixteen bits and the bytes that are not zero: most are
              runs.bin             a bit for each run, whether there is one; then those that there are
              arrays.safetensors   everything else that is learned, the text and its marks
              order.bin            the text's places, sorted (`suffixes`); memory-mapped
              sources.json         its documents
    update/   the same, without runs.bin: the lines that changed since, and runs in fours like lines, as differences;
              the text that came

A memory by itself is the view `train`: it holds no held-out file, and is what every score is made with. With its update
it is the view `all`, which completes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cllm.artifacts import MANIFEST, read_json, sha256_of, verify_directory, write_directory, write_json
from cllm.compiled import Array, compiled
from cllm.errors import ArtifactError
from cllm.memory.index import Index, Segment, Source
from cllm.memory.memory import Memory
from cllm.memory.state import TABLES, Learned, new_learned, num_lines
from cllm.tokenizer import Tokenizer

RUN_BYTES = 3  # the fourth is 0
# Place of the lowest bit of each mask; 0 for no bit. To look at set bits alone takes a third of the time.
MASKS = np.arange(1 << 16)
LOWEST = np.log2(np.maximum(MASKS & -MASKS, 1)).astype(np.uint8)
LINES, RUNS, ARRAYS, ORDER, SOURCES = "lines.bin", "runs.bin", "arrays.safetensors", "order.bin", "sources.json"


def save_memory(memory: Memory, directory: Path, **facts: Any) -> None:
    """Write a memory whose index is sorted, atomically, with `facts` in its manifest."""
    learned = memory.learned

    def fill(folder: Path) -> None:
        write_lines(learned.lines[: num_lines(learned)], folder)
        write_runs(learned.runs, folder)
        arrays = {name: array for name, array in learned._asdict().items() if name not in TABLES}
        read = {"text": memory.text[: memory.size], "marks": memory.marks[: memory.size]}
        safetensors.numpy.save_file({**arrays, **read}, folder / ARRAYS)
        memory.index.segments[0].order.tofile(folder / ORDER)
        write_json(folder / SOURCES, [asdict(source) for source in memory.index.sources])

    write_directory(
        directory, fill, kind="memory", view="train", lines=num_lines(learned), runs=len(learned.runs), **facts
    )


def load_memory(directory: Path, tokenizer: Tokenizer, update: Path | None = None) -> Memory:
    """The memory in a directory, and with an update the view `all`; ArtifactError names what is wrong with it."""
    manifest = verify_directory(directory, LINES, ARRAYS, ORDER, SOURCES)
    if manifest.get("view") != "train":
        raise ArtifactError(f"{directory} is no memory by itself, but a {manifest.get('kind')!r}")
    with read_errors(directory):
        arrays = safetensors.numpy.load_file(directory / ARRAYS)
        text, marks = arrays.pop("text"), arrays.pop("marks")
        learned = new_learned(int(manifest["lines"]), int(manifest["runs"]))
        fill(learned, arrays)
        read_lines(learned.lines[: num_lines(learned)], directory)
        read_runs(learned.runs, directory)
        memory = Memory(tokenizer, learned, text, marks, len(text))
        memory.index = Index([Segment(0, places(directory, len(text)))], sources(directory))
    if update is not None:
        apply_update(memory, update, sha256_of(directory / MANIFEST))
    return memory


def save_update(memory: Memory, begin: int, directory: Path, base: Path, **facts: Any) -> None:
    """Write atomically what a memory came to know since its text ended at `begin` and it was saved in `base`.

    The lines that changed are those in its journal. What else it learned is left out: who is trusted was found out on
    documents that neither memory nor network had read.
    """
    count = int(memory.journal.size[0])
    order = np.argsort(memory.journal.numbers[:count])
    numbers = memory.journal.numbers[order]
    # Most bytes of a line that changed are as they were: what differs is packed.
    differences = memory.learned.lines[numbers] ^ memory.journal.contents[order]
    changed = np.zeros(len(memory.learned.lines), np.bool_)
    changed[numbers] = True

    def fill(folder: Path) -> None:
        write_lines(differences, folder)
        read = {"text": memory.text[begin : memory.size], "marks": memory.marks[begin : memory.size]}
        safetensors.numpy.save_file({"changed": np.packbits(changed), **read}, folder / ARRAYS)
        memory.index.segments[1].order.tofile(folder / ORDER)
        write_json(folder / SOURCES, [asdict(source) for source in memory.index.sources])

    write_directory(directory, fill, kind="update", view="all", base=sha256_of(base / MANIFEST), **facts)


def apply_update(memory: Memory, directory: Path, base: str) -> None:
    """Let a memory know what an update says, which must be one of the memory with this manifest."""
    manifest = verify_directory(directory, LINES, ARRAYS, ORDER, SOURCES)
    if manifest.get("base") != base:
        raise ArtifactError(f"the update {directory} is not of this memory: run `cllm update`, or learn with --fresh")
    with read_errors(directory):
        arrays = safetensors.numpy.load_file(directory / ARRAYS)
        text, changed, lines = arrays["text"], arrays["changed"], memory.learned.lines
        numbers = np.flatnonzero(np.unpackbits(changed, count=len(lines)))
        differences = np.zeros((len(numbers), lines.shape[1]), np.uint8)
        read_lines(differences, directory)
        lines[numbers] ^= differences
        begin = memory.size
        memory.put(text, arrays["marks"])
        memory.index.segments.append(Segment(begin, places(directory, len(text))))
        memory.index.sources = sources(directory)
        memory.hide_gone()


@contextmanager
def read_errors(directory: Path) -> Iterator[None]:
    """Whatever does not fit in a directory's files is an ArtifactError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, SafetensorError, OSError) as error:
        raise ArtifactError(f"the memory {directory} cannot be read: {error}") from None


def places(directory: Path, count: int) -> Array:
    """The sorted places of a text of so many bytes."""
    if not count:
        return np.zeros(0, np.int32)
    order = np.memmap(directory / ORDER, np.int32, "r")
    if len(order) != count:
        raise ValueError(f"{ORDER} has {len(order)} places for {count} bytes")
    return order


def sources(directory: Path) -> list[Source]:
    return [Source(**source) for source in read_json(directory / SOURCES)]


def write_lines(lines: Array, folder: Path) -> None:
    packed = np.empty(lines.size + 2 * len(lines), np.uint8)
    packed[: pack(lines, packed)].tofile(folder / LINES)


def read_lines(lines: Array, folder: Path) -> None:
    """Fill zeroed lines; ValueError where there are more or fewer."""
    if not unpack(np.fromfile(folder / LINES, np.uint8), lines):
        raise ValueError(f"{LINES} does not hold {len(lines)} lines")


def write_runs(runs: Array, folder: Path) -> None:
    there = runs != 0
    with (folder / RUNS).open("wb") as file:
        np.packbits(there).tofile(file)
        runs[there].view(np.uint8).reshape(-1, 4)[:, :RUN_BYTES].tofile(file)


def read_runs(runs: Array, folder: Path) -> None:
    """Fill zeroed runs; ValueError where there are more or fewer."""
    if not unpack_runs(np.fromfile(folder / RUNS, np.uint8), runs):
        raise ValueError(f"{RUNS} does not hold {len(runs)} runs")


def fill(learned: Learned, arrays: dict[str, Array]) -> None:
    """Copy arrays into the room there is, which is aligned; ValueError for one that is not as this version makes it."""
    rooms = {name: room for name, room in learned._asdict().items() if name not in TABLES}
    if arrays.keys() != rooms.keys():
        raise ValueError(f"it holds {', '.join(sorted(arrays))}, expected {', '.join(sorted(rooms))}")
    for name, room in rooms.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (room.shape, room.dtype):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {room.dtype} {room.shape}")
        room[...] = array


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


@compiled
def unpack_runs(packed: Array, runs: Array) -> bool:
    """Fill zeroed runs with what `write_runs` wrote; whether it fits exactly."""
    at = (len(runs) + 7) // 8
    if at > len(packed):
        return False
    for eight in range(at):
        mask = np.int64(packed[eight])
        run = 8 * eight
        while mask:
            if mask & 128:
                if run >= len(runs) or at + RUN_BYTES > len(packed):
                    return False
                runs[run] = np.uint32(packed[at]) | np.uint32(packed[at + 1]) << 8 | np.uint32(packed[at + 2]) << 16
                at += RUN_BYTES
            mask = mask << 1 & 255
            run += 1
    return at == len(packed)
