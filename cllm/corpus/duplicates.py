"""Texts that occur twice: exactly, or nearly.

Exact copies are kept once. Where copies lie on both sides of the split the text is learned and not held out, so that
no held-out file is in `train` by way of a copy.

Near copies stay, but a held-out document that resembles one that is learned carries its path, and a score can leave it
out. Resemblance is the Jaccard similarity of the sets of lines (stripped of blanks at both ends), estimated by MinHash
(Broder 1997) with locality-sensitive hashing. Lines rather than token 5-grams: on libuv, networkx, three and starlette
they are five to ten times as fast, and at 0.7 the 5-grams added only short files that share a licence header. Only the
sketches of the held-out documents are kept in memory.

Left out: near copies within `train`, and copies that differ by line ends alone (they are near copies).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rensa import RMinHash, RMinHashLSH  # type: ignore[import-untyped]

from cllm.corpus.split import split_of

NEAR_DUPLICATE_THRESHOLD = 0.7  # of the union of two documents' lines
_PERMUTATIONS = 252  # standard error of the estimate at 0.7: 0.03
_BANDS = 42  # of 6 rows: a pair at 0.7 is compared with probability 0.995, one at 0.3 (a shared licence) with 0.03
_SEED = 1
_PREFERENCE = ("train", "dev", "val")


class NearDuplicate(NamedTuple):
    """The learned document that a held-out one resembles most, and how much (0 to 1, estimated)."""

    path: str
    similarity: float


def representative(paths: Sequence[str]) -> str:
    """Which of the paths of one text stands for it: one that is learned before one that is held out."""
    return min(paths, key=lambda path: (_PREFERENCE.index(split_of(path)), path))


def near_duplicates(
    held_out: Iterable[tuple[str, bytes]],
    train: Iterable[tuple[str, bytes]],
    threshold: float = NEAR_DUPLICATE_THRESHOLD,
) -> dict[str, NearDuplicate]:
    """For each held-out path that resembles a learned document at least by `threshold`: the nearest one."""
    sketches = [(path, _sketch(content)) for path, content in held_out]
    index = RMinHashLSH(threshold, _PERMUTATIONS, _BANDS)
    for key, (_, sketch) in enumerate(sketches):
        index.insert(key, sketch)
    nearest: dict[str, NearDuplicate] = {}
    for path, content in train if sketches else ():
        sketch = _sketch(content)
        for key in index.query(sketch):
            val_path, val_sketch = sketches[key]
            similarity = float(sketch.jaccard(val_sketch))
            best = nearest.get(val_path)
            if similarity >= threshold and (best is None or similarity > best.similarity):
                nearest[val_path] = NearDuplicate(path, similarity)
    return nearest


def _sketch(content: bytes) -> RMinHash:
    sketch = RMinHash(_PERMUTATIONS, _SEED)
    sketch.update([line for line in {line.strip() for line in content.splitlines()} if line])
    return sketch
