"""Exact and near duplicates.

Exact duplicates are kept once. A text with copies on both sides of the split goes to `train`, so that no held-out file
is in `train` as a copy.

Near duplicates are kept, but a held-out document that resembles a train document is marked with that document's path,
so that a score can exclude it. Resemblance is the Jaccard similarity of the sets of lines (blanks stripped at both
ends), estimated by MinHash (Broder 1997) with locality-sensitive hashing. Lines rather than token 5-grams: on libuv,
networkx, three and starlette they are five to ten times as fast, and at 0.7 the 5-grams added only short files that
share a licence header. Only the sketches of the held-out documents are kept in memory.

Not covered: near duplicates within `train`. Copies that differ only in line ends count as near duplicates.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rensa import RMinHash, RMinHashLSH  # type: ignore[import-untyped]

from cllm.corpus.split import split_of

NEAR_DUPLICATE_THRESHOLD = 0.7  # Jaccard similarity of two documents' lines
_PERMUTATIONS = 252  # standard error of the estimate at 0.7: 0.03
_BANDS = 42  # of 6 rows: a pair at 0.7 is compared with probability 0.995, one at 0.3 (a shared licence) with 0.03
_SEED = 1
_PREFERENCE = ("train", "dev", "val")


class NearDuplicate(NamedTuple):
    """Path of the train document that a held-out one resembles most, and their estimated similarity (0 to 1)."""

    path: str
    similarity: float


def representative(paths: Sequence[str]) -> str:
    """The path under which a text with several paths is kept: of `train` first, then `dev`, then `val`."""
    return min(paths, key=lambda path: (_PREFERENCE.index(split_of(path)), path))


def near_duplicates(
    held_out: Iterable[tuple[str, bytes]],
    train: Iterable[tuple[str, bytes]],
    threshold: float = NEAR_DUPLICATE_THRESHOLD,
) -> dict[str, NearDuplicate]:
    """The nearest train document of each held-out path that has one with a similarity of at least `threshold`."""
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
