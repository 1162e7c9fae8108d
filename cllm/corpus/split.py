"""The split into `train`, `dev` and `val`: a tenth of the paths by hash is held out, the same in every run.

The split depends on the path alone, so a file keeps its split when other files are added or removed. In a tiny
repository a tenth of the hashes may hold out no file or every file; only then:

- of two or more files, all or none would be held out: the tenth of them (at least one) with the smallest hashes is;
- exactly one file: its last tenth, by lines, is held out (nothing, if it has a single line);
- of two or more files to train on, all or none would be `dev`: the tenth of them with the smallest hashes is.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

Split = Literal["train", "dev", "val"]
NUM_BUCKETS = 10  # one in ten is `val`, one in ten is `dev`


class Assignment(NamedTuple):
    """The split of each path, and notes on the fallbacks that were used because of too few files."""

    splits: dict[str, Split]
    fallbacks: list[str]


def _hash(path: str) -> int:
    return int(hashlib.sha256(os.fsencode(path)).hexdigest(), 16)


def is_held_out(path: str) -> bool:
    """Whether the file at this posix path, relative to the root, is in `val`, which nothing is trained on."""
    return _hash(path) % NUM_BUCKETS == 0


def split_of(path: str) -> Split:
    """The split of a path: `val` is held out; `dev` is the part of the training data that tunes the mixture."""
    return "val" if is_held_out(path) else "dev" if _hash(path) % NUM_BUCKETS == 1 else "train"


def assign(paths: Sequence[str]) -> Assignment:
    """Assign a split to all paths of a repository, without duplicates."""
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
    """Where a single file is split: byte offset, first held-out line (from 1), and last line."""

    offset: int
    line: int
    last_line: int


def last_tenth(content: bytes) -> Cut | None:
    """The cut that holds out the last tenth of the lines, at least one; None if there is only one line."""
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return None
    held_out = max(1, len(lines) // NUM_BUCKETS)
    return Cut(len(content) - sum(map(len, lines[-held_out:])), len(lines) - held_out + 1, len(lines))
