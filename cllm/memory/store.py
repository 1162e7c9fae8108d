"""A memory on disk, in verified directories: the trained memory, and its update.

    memory/   slots.bin            for each slot a 16-bit mask and its nonzero bytes: most bytes are zero
              runs.bin             a bit for each run, whether it is in use; then the 3 bytes of each run in use
              arrays.safetensors   the rest of the mixer state, the text and its marks
              suffix_array.bin     the text's positions, sorted (`suffix_array`); memory-mapped
              sources.json         its documents
    update/   the same without runs.bin: the XOR of each row of the slot table that changed, where a row is a slot or
              four runs; the text that was added

A memory alone is the view `train`: it holds no held-out file, and all scores are computed with it. A memory with its
update is the view `all`, which completions use.

The manifests of both have `mixer_version`: the shapes of all arrays can be those of another version of the mixer, whose
memory would predict wrongly without an error. `tokenizer_sha256` is checked where manifest and tokenizer have it.
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
from cllm.errors import ArtifactError
from cllm.jit.compiled import Array, compiled
from cllm.memory.index.index import Index, Segment, Source
from cllm.memory.memory import Memory
from cllm.memory.mixer.state import MIXER_VERSION, TABLES, MixerState, new_mixer_state, num_slots
from cllm.tokenizer import Tokenizer

RUN_BYTES = 3  # of 4: the high byte is 0
# Index of the lowest set bit of each mask; 0 if none is set. Visiting only set bits takes a third of the time.
MASKS = np.arange(1 << 16)
LOWEST_BIT = np.log2(np.maximum(MASKS & -MASKS, 1)).astype(np.uint8)
SLOTS, RUNS, ARRAYS, SUFFIX_ARRAY, SOURCES = (
    "slots.bin",
    "runs.bin",
    "arrays.safetensors",
    "suffix_array.bin",
    "sources.json",
)


def save_memory(memory: Memory, directory: Path, **metadata: Any) -> None:
    """Write a memory that has one index segment, atomically, with `metadata` in its manifest."""
    state = memory.state

    def fill(folder: Path) -> None:
        write_slots(state.slots[: num_slots(state)], folder)
        write_runs(state.runs, folder)
        arrays = {name: array for name, array in state._asdict().items() if name not in TABLES}
        text_arrays = {"text": memory.text[: memory.size], "token_marks": memory.token_marks[: memory.size]}
        safetensors.numpy.save_file({**arrays, **text_arrays}, folder / ARRAYS)
        memory.index.segments[0].suffix_array.tofile(folder / SUFFIX_ARRAY)
        write_json(folder / SOURCES, [asdict(source) for source in memory.index.sources])

    sizes = {"slots": num_slots(state), "runs": len(state.runs)}
    write_directory(directory, fill, kind="memory", view="train", mixer_version=MIXER_VERSION, **sizes, **metadata)


def load_memory(directory: Path, tokenizer: Tokenizer, update: Path | None = None) -> Memory:
    """Load a memory: the view `train`, or with `update` the view `all`.

    ArtifactError: the directory is not a view `train`, is of another version of the mixer or of another tokenizer, or
    a file is missing, damaged or does not fit.
    """
    manifest = verify_directory(directory, SLOTS, ARRAYS, SUFFIX_ARRAY, SOURCES)
    if manifest.get("view") != "train":
        raise ArtifactError(f"{directory} holds kind {manifest.get('kind')!r}, expected a memory of view 'train'")
    check_mixer_version(directory, manifest)
    expected = manifest.get("tokenizer_sha256")
    if None not in (expected, tokenizer.sha256) and expected != tokenizer.sha256:
        raise ArtifactError(f"{directory} belongs to another tokenizer: train again with --fresh")
    with read_errors(directory):
        arrays = safetensors.numpy.load_file(directory / ARRAYS)
        text, token_marks = arrays.pop("text"), arrays.pop("token_marks")
        state = new_mixer_state(int(manifest["slots"]), int(manifest["runs"]))
        copy_arrays(state, arrays)
        read_slots(state.slots[: num_slots(state)], directory)
        read_runs(state.runs, directory)
        memory = Memory(tokenizer, state, text, token_marks, len(text))
        memory.index = Index([Segment(0, load_suffix_array(directory, len(text)))], load_sources(directory))
    if update is not None:
        apply_update(memory, update, sha256_of(directory / MANIFEST))
    return memory


def save_update(memory: Memory, begin: int, directory: Path, base: Path, **metadata: Any) -> None:
    """Write, atomically, the changes of a memory since its text ended at `begin` and it was saved in `base`.

    The changed rows of the slot table are those in the memory's journal. Changes of the other arrays are not saved:
    the mixer weights were trained on documents that neither memory nor network had been trained on.
    """
    count = int(memory.journal.size[0])
    order = np.argsort(memory.journal.numbers[:count])
    numbers = memory.journal.numbers[order]
    # Most bytes of a changed row are unchanged, so the XOR of old and new packs well.
    differences = memory.state.slots[numbers] ^ memory.journal.contents[order]
    changed = np.zeros(len(memory.state.slots), np.bool_)
    changed[numbers] = True

    def fill(folder: Path) -> None:
        write_slots(differences, folder)
        text_arrays = {"text": memory.text[begin : memory.size], "token_marks": memory.token_marks[begin : memory.size]}
        safetensors.numpy.save_file({"changed": np.packbits(changed), **text_arrays}, folder / ARRAYS)
        memory.index.segments[1].suffix_array.tofile(folder / SUFFIX_ARRAY)
        write_json(folder / SOURCES, [asdict(source) for source in memory.index.sources])

    versions = {"mixer_version": MIXER_VERSION, "base": sha256_of(base / MANIFEST)}
    write_directory(directory, fill, kind="update", view="all", **versions, **metadata)


def apply_update(memory: Memory, directory: Path, base: str) -> None:
    """Apply an update to the memory whose manifest has the SHA-256 `base`.

    ArtifactError: the update is of another memory or version of the mixer, or a file is missing, damaged or does not
    fit.
    """
    manifest = verify_directory(directory, SLOTS, ARRAYS, SUFFIX_ARRAY, SOURCES)
    if manifest.get("base") != base:
        raise ArtifactError(f"the update {directory} is not of this memory: run `cllm update`, or train with --fresh")
    check_mixer_version(directory, manifest)
    with read_errors(directory):
        arrays = safetensors.numpy.load_file(directory / ARRAYS)
        text, changed, slots = arrays["text"], arrays["changed"], memory.state.slots
        numbers = np.flatnonzero(np.unpackbits(changed, count=len(slots)))
        differences = np.zeros((len(numbers), slots.shape[1]), np.uint8)
        read_slots(differences, directory)
        slots[numbers] ^= differences
        begin = memory.size
        memory.append_text(text, arrays["token_marks"])
        memory.index.segments.append(Segment(begin, load_suffix_array(directory, len(text))))
        memory.index.sources = load_sources(directory)
        memory.drop_stale_matches()


def check_mixer_version(directory: Path, manifest: dict[str, Any]) -> None:
    """ArtifactError if a memory or update with this manifest was written by another version of the mixer."""
    found = manifest.get("mixer_version", 0)
    if found != MIXER_VERSION:
        raise ArtifactError(
            f"{directory} was trained by another version of the mixer (found {found}, expected {MIXER_VERSION}): "
            "train again with --fresh"
        )


@contextmanager
def read_errors(directory: Path) -> Iterator[None]:
    """Context manager that turns errors of reading a memory's files into an ArtifactError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, SafetensorError, OSError) as error:
        raise ArtifactError(f"the memory {directory} cannot be read: {error}") from None


def load_suffix_array(directory: Path, count: int) -> Array:
    """Suffix array (count,) int32 of a text of `count` bytes, memory-mapped; ValueError if it has another length."""
    if not count:
        return np.zeros(0, np.int32)
    order = np.memmap(directory / SUFFIX_ARRAY, np.int32, "r")
    if len(order) != count:
        raise ValueError(f"{SUFFIX_ARRAY} has {len(order)} positions, expected {count}")
    return order


def load_sources(directory: Path) -> list[Source]:
    return [Source(**source) for source in read_json(directory / SOURCES)]


def write_slots(slots: Array, folder: Path) -> None:
    """Write rows (N, 16) uint8 to slots.bin, packed (`pack_slots`)."""
    packed = np.empty(slots.size + 2 * len(slots), np.uint8)
    packed[: pack_slots(slots, packed)].tofile(folder / SLOTS)


def read_slots(slots: Array, folder: Path) -> None:
    """Read slots.bin into zeroed rows (N, 16) uint8; ValueError if it does not hold exactly N rows."""
    if not unpack_slots(np.fromfile(folder / SLOTS, np.uint8), slots):
        raise ValueError(f"{SLOTS} does not hold {len(slots)} slots")


def write_runs(runs: Array, folder: Path) -> None:
    """Write runs (M,) uint32 to runs.bin: a bit for each, then 3 bytes of each that is in use."""
    is_used = runs != 0
    with (folder / RUNS).open("wb") as file:
        np.packbits(is_used).tofile(file)
        runs[is_used].view(np.uint8).reshape(-1, 4)[:, :RUN_BYTES].tofile(file)


def read_runs(runs: Array, folder: Path) -> None:
    """Read runs.bin into zeroed runs (M,) uint32; ValueError if it does not hold exactly M runs."""
    if not unpack_runs(np.fromfile(folder / RUNS, np.uint8), runs):
        raise ValueError(f"{RUNS} does not hold {len(runs)} runs")


def copy_arrays(state: MixerState, arrays: dict[str, Array]) -> None:
    """Copy arrays into the state's own, which are aligned; shapes as in `MixerState`.

    ValueError: a name, shape or dtype differs from the state's.
    """
    targets = {name: target for name, target in state._asdict().items() if name not in TABLES}
    if arrays.keys() != targets.keys():
        raise ValueError(f"arrays.safetensors holds {', '.join(sorted(arrays))}, expected {', '.join(sorted(targets))}")
    for name, target in targets.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (target.shape, target.dtype):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {target.dtype} {target.shape}")
        target[...] = array


@compiled
def pack_slots(slots: Array, packed: Array) -> int:
    """Pack rows (N, 16) uint8 into `packed` (18 N,) uint8; returns the number of bytes written.

    Each row is a 16-bit mask, little-endian, and its nonzero bytes.
    """
    at = 0
    for slot in range(len(slots)):
        mask = 0
        start = at
        at += 2
        for column in range(16):
            value = slots[slot, column]
            if value:
                mask |= 1 << column
                packed[at] = value
                at += 1
        packed[start] = mask & 255
        packed[start + 1] = mask >> 8
    return at


@compiled
def unpack_slots(packed: Array, slots: Array) -> bool:
    """Unpack `packed` (B,) uint8 of `pack_slots` into zeroed rows (N, 16); returns whether it holds exactly N."""
    at = 0
    for slot in range(len(slots)):
        if at + 2 > len(packed):
            return False
        mask = np.int64(packed[at]) | np.int64(packed[at + 1]) << 8
        at += 2
        while mask:
            if at >= len(packed):
                return False
            slots[slot, LOWEST_BIT[mask]] = packed[at]
            mask &= mask - 1
            at += 1
    return at == len(packed)


@compiled
def unpack_runs(packed: Array, runs: Array) -> bool:
    """Unpack `packed` (B,) uint8 of `write_runs` into zeroed runs (M,); returns whether it holds exactly M."""
    at = (len(runs) + 7) // 8
    if at > len(packed):
        return False
    for byte_index in range(at):
        mask = np.int64(packed[byte_index])
        run = 8 * byte_index
        while mask:
            if mask & 128:
                if run >= len(runs) or at + RUN_BYTES > len(packed):
                    return False
                runs[run] = np.uint32(packed[at]) | np.uint32(packed[at + 1]) << 8 | np.uint32(packed[at + 2]) << 16
                at += RUN_BYTES
            mask = mask << 1 & 255
            run += 1
    return at == len(packed)
