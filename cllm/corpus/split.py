"""Which documents are held out: every tenth by the hash of its path, the same on every machine and in every run.

A path decides alone, so that a file keeps its side when others come and go. A tiny repository may have no path, or
only paths, on the held-out side; then, and only then:

- all or none of two or more files held out: the tenth of them (at least one) with the smallest hashes is held out;
- exactly one file: its last tenth, by lines, is held out (and nothing, where it has a single line);
- `dev` is none or all of two or more files to learn from: the tenth of them with the smallest hashes, in the same way.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

Split = Literal["train", "dev", "val"]
NUM_BUCKETS = 10  # one in ten is `val`, one in ten is `dev`


class Assignment(NamedTuple):
    """The split of each path, and what had to be done differently for want of files."""

    splits: dict[str, Split]
    fallbacks: list[str]


def _hash(path: str) -> int:
    return int(hashlib.sha256(os.fsencode(path)).hexdigest(), 16)


def is_held_out(path: str) -> bool:
    """Whether the file at this path, relative to the root and posix, is `val`: learned from by nothing."""
    return _hash(path) % NUM_BUCKETS == 0


def split_of(path: str) -> Split:
    """`val` is held out; `dev` is a part of what is learned from, set aside to choose weights of mixtures by."""
    return "val" if is_held_out(path) else "dev" if _hash(path) % NUM_BUCKETS == 1 else "train"


def assign(paths: Sequence[str]) -> Assignment:
    """The split of the files of a whole repository, duplicates already gone."""
    splits: dict[str, Split] = {path: split_of(path) for path in paths}
    fallbacks = []
    held_out = [path for path in splits if splits[path] == "val"]
    if len(splits) == 1:
        splits = dict.fromkeys(splits, "train")
    elif len(held_out) in (0, len(splits)):
        splits |= dict.fromkeys(held_out, "train")
        splits |= dict.fromkeys(_smallest(list(splits)), "val")
        fallbacks.append("val: the smallest hashes, since a tenth of the hashes held out no file, or every file")
    train_paths = [path for path in splits if splits[path] != "val"]
    if len(train_paths) == 1:
        splits[train_paths[0]] = "train"
    elif len({splits[path] for path in train_paths}) == 1:
        splits |= dict.fromkeys(train_paths, "train")
        splits |= dict.fromkeys(_smallest(train_paths), "dev")
        fallbacks.append("dev: the smallest hashes, since a tenth of the hashes set aside no file, or every file")
    return Assignment(splits, fallbacks)


def _smallest(paths: Sequence[str]) -> list[str]:
    return sorted(paths, key=_hash)[: max(1, len(paths) // NUM_BUCKETS)]


class Cut(NamedTuple):
    """Where a single file is divided: the byte, the first held-out line (counted from 1), and the last line."""

    offset: int
    line: int
    last_line: int


def last_tenth(content: bytes) -> Cut | None:
    """The cut that holds out the last tenth of the lines, at least one; None where there is only one line."""
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return None
    held_out = max(1, len(lines) // NUM_BUCKETS)
    return Cut(len(content) - sum(map(len, lines[-held_out:])), len(lines) - held_out + 1, len(lines))
