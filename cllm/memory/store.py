"""A memory on disk, in verified directories: the trained memory, and its update.

    memory/   slots.bin, runs.bin  the tables of the mixer, packed (`packing`)
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from cllm.artifacts import MANIFEST, read_json, sha256_of, verified_meanwhile, write_directory, write_json
from cllm.errors import ArtifactError
from cllm.jit.compiled import Array
from cllm.memory.index.index import Index, Segment, Source
from cllm.memory.memory import Memory
from cllm.memory.mixer.state import MIXER_VERSION, SLOT_BYTES, TABLES, MixerState, new_mixer_state, num_slots
from cllm.memory.packing import pack_runs, pack_slots, unpack_runs, unpack_slots, xor_slots
from cllm.tokenizer import Tokenizer

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
        pack_slots(state.slots[: num_slots(state)]).tofile(folder / SLOTS)
        pack_runs(state.runs).tofile(folder / RUNS)
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
    with verified_meanwhile(directory, SLOTS, ARRAYS, SUFFIX_ARRAY, SOURCES) as manifest:
        memory = _load(directory, tokenizer, manifest)
    if update is not None:
        apply_update(memory, update, sha256_of(directory / MANIFEST))
    return memory


def _load(directory: Path, tokenizer: Tokenizer, manifest: dict[str, Any]) -> Memory:
    if manifest.get("view") != "train":
        raise ArtifactError(f"{directory} holds kind {manifest.get('kind')!r}, expected a memory of view 'train'")
    check_mixer_version(directory, manifest)
    expected = manifest.get("tokenizer_sha256")
    if None not in (expected, tokenizer.sha256) and expected != tokenizer.sha256:
        raise ArtifactError(f"{directory} belongs to another tokenizer: train again with --fresh")
    with read_errors(directory):
        arrays = safetensors.numpy.load_file(directory / ARRAYS)
        text, token_marks = arrays.pop("text"), arrays.pop("token_marks")
        state = new_mixer_state(int(manifest["slots"]), int(manifest["runs"]), has_large_pages=False)
        copy_arrays(state, arrays)
        with ThreadPoolExecutor(1) as thread:
            runs = thread.submit(unpack_runs, mapped(directory / RUNS, np.uint8), state.runs)
            if not unpack_slots(mapped(directory / SLOTS, np.uint8), state.slots[: num_slots(state)]):
                raise ValueError(f"{SLOTS} does not hold {num_slots(state)} slots")
            if not runs.result():
                raise ValueError(f"{RUNS} does not hold {len(state.runs)} runs")
        memory = Memory(tokenizer, state, text, token_marks, len(text))
        memory.index = Index([Segment(0, load_suffix_array(directory, len(text)))], load_sources(directory))
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
        pack_slots(differences).tofile(folder / SLOTS)
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
    with verified_meanwhile(directory, SLOTS, ARRAYS, SUFFIX_ARRAY, SOURCES) as manifest:
        _apply(memory, directory, base, manifest)


def _apply(memory: Memory, directory: Path, base: str, manifest: dict[str, Any]) -> None:
    if manifest.get("base") != base:
        raise ArtifactError(f"the update {directory} is not of this memory: run `cllm update`, or train with --fresh")
    check_mixer_version(directory, manifest)
    with read_errors(directory):
        arrays = safetensors.numpy.load_file(directory / ARRAYS)
        text, changed, slots = arrays["text"], arrays["changed"], memory.state.slots
        packed, buffer = mapped(directory / SLOTS, np.uint8), np.empty((1, SLOT_BYTES), np.uint8)
        if not xor_slots(packed, changed, slots, buffer):
            raise ValueError(f"{SLOTS} does not hold the slots that changed")
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
    order = mapped(directory / SUFFIX_ARRAY, np.int32)
    if len(order) != count:
        raise ValueError(f"{SUFFIX_ARRAY} has {len(order)} positions, expected {count}")
    return order


def mapped(path: Path, dtype: npt.DTypeLike) -> Array:
    """The items (N,) of a file, memory-mapped."""
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)


def load_sources(directory: Path) -> list[Source]:
    return [Source(**source) for source in read_json(directory / SOURCES)]


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
