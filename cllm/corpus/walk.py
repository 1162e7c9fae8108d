"""Walk the files below a root, in a fixed order, without leaving it.

Directories are listed one at a time from a stack (no recursion), names sorted by their bytes: first a directory's
files, then its sub-directories. Symbolic links are not followed, only regular files are opened, a directory that is
met twice (a bind mount) is entered once, ignored directories are not entered. Nothing in the repository is executed:
git is not called and its configuration is not read, so the list is the same on a machine without git.

Not considered: the index (see `ignore`) and a `.gitignore` above the root. Other repositories (sub-modules, work
trees) inside a repository are skipped; they are included if the root itself is not a repository.
"""

import os
import stat
from collections.abc import Callable, Iterator
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

from cllm.corpus.ignore import MAX_RULES_BYTES, Rules

ALWAYS_EXCLUDED = frozenset({".git", ".hg", ".svn", ".cllm"})  # `.git` is a file in a work tree


class WalkEntry(NamedTuple):
    """One name below the root, as a posix path (`surrogateescape` for bytes that are not UTF-8).

    `skipped` is the reason why a file is not to be read, or why a directory was not entered.
    """

    path: str
    is_directory: bool = False
    skipped: str | None = None


class _Directory(NamedTuple):
    path: str  # "" or "src/unix/"
    depth: int
    rules: tuple[tuple[int, Rules], ...]  # the deepest first, each with the length of its directory's path in bytes


class _Entry(NamedTuple):
    key: bytes  # the name's bytes in the file system, by which entries are sorted
    name: str
    kind: str  # "directory", "file", or the reason why it is skipped


def walk(
    root: Path,
    *,
    max_depth: int,
    max_entries: int,
    prune: Callable[[str], str | None] = lambda path: None,
) -> Iterator[WalkEntry]:
    """Yield every file below `root`, and every directory that is not entered with its reason.

    `prune` maps a directory's path to a reason not to enter it, or None. At most `max_entries` names of one directory
    are kept in memory (those that sort first).
    """
    top = os.path.realpath(root)
    exclude = _read_exclude(top)
    is_repository = os.path.lexists(f"{top}/.git")
    visited: set[tuple[int, int]] = set()
    stack = [_Directory("", 0, ((0, exclude),) if exclude else ())]
    while stack:
        directory = stack.pop()
        identity, entries = _list_directory(f"{top}/{directory.path}", max_entries)
        names = {entry.name for entry in entries}
        if identity is None:
            yield WalkEntry(directory.path, True, "unreadable")
        elif identity in visited:
            yield WalkEntry(directory.path, True, "already visited")
        elif directory.depth and is_repository and ".git" in names:
            yield WalkEntry(directory.path, True, "another repository")
        else:
            visited.add(identity)
            if ".gitignore" in names and (file_rules := _read_rules(f"{top}/{directory.path}.gitignore")):
                directory = directory._replace(rules=((len(os.fsencode(directory.path)), file_rules), *directory.rules))
            subdirectories: list[_Directory] = []
            for entry in entries:
                if entry.name in ALWAYS_EXCLUDED:
                    continue
                path = directory.path + entry.name
                if entry.kind == "directory":
                    if reason := _directory_skip_reason(directory, path, max_depth, prune):
                        yield WalkEntry(path + "/", True, reason)
                    else:
                        subdirectories.append(_Directory(path + "/", directory.depth + 1, directory.rules))
                elif entry.kind == "file":
                    yield WalkEntry(path, False, "ignored" if _is_ignored(directory.rules, path, False) else None)
                else:
                    yield WalkEntry(path, False, entry.kind)
            stack.extend(reversed(subdirectories))


def _list_directory(path: str, max_entries: int) -> tuple[tuple[int, int] | None, list[_Entry]]:
    """A directory's identity (None if it cannot be read) and its entries in order; symbolic links are not followed."""
    try:
        descriptor = os.open(path.rstrip("/") or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None, []
    try:
        status = os.fstat(descriptor)
        with os.scandir(descriptor) as listing:
            entries = (_Entry(os.fsencode(entry.name), entry.name, _kind(entry)) for entry in listing)
            return (status.st_dev, status.st_ino), nsmallest(max_entries, entries)
    except OSError:
        return None, []
    finally:
        os.close(descriptor)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_symlink():
            return "symbolic link"
        if entry.is_dir(follow_symlinks=False):
            return "directory"
        return "file" if entry.is_file(follow_symlinks=False) else "not a regular file"
    except OSError:
        return "unreadable"


def _directory_skip_reason(
    parent: _Directory, path: str, max_depth: int, prune: Callable[[str], str | None]
) -> str | None:
    if _is_ignored(parent.rules, path, True):
        return "ignored"
    return "too deep" if parent.depth == max_depth else prune(path)


def _is_ignored(rules: tuple[tuple[int, Rules], ...], path: str, is_directory: bool) -> bool:
    """Whether an entry is ignored, by the deepest rules that have a matching line."""
    if not rules:
        return False
    name = os.fsencode(path)
    for base, file_rules in rules:
        verdict = file_rules.verdict(name[base:], is_directory)
        if verdict is not None:
            return verdict
    return False


def _read_exclude(top: str) -> Rules | None:
    """Patterns of `.git/info/exclude`; None if `.git` or `.git/info` is a symbolic link (it may leave the root)."""
    if any(Path(top, part).is_symlink() for part in (".git", ".git/info")):
        return None
    return _read_rules(f"{top}/.git/info/exclude")


def _read_rules(path: str) -> Rules | None:
    """Patterns of a regular file, None if there is none; symbolic links are not followed, as in git."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return Rules(os.read(descriptor, MAX_RULES_BYTES)) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
