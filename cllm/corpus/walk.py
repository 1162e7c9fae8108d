"""Walk the files below a root, in a fixed order, without leaving it.

Directories are listed one at a time from a stack (no recursion), names sorted by their bytes: first a directory's
files, then its sub-directories. Symbolic links are not followed, only regular files are opened, a directory that is
met twice (a bind mount) is entered once. An ignored directory is entered only for tracked files in it.

The files without a reason to skip them are those that `git ls-files --cached --others --exclude-standard` lists
(`git_view`), except links, what is missing or unreadable, and the caller's own exclusions. Nothing in the repository is
executed, git neither, so the list is the same on a machine without git.

Other repositories (sub-modules, work trees) inside a repository are skipped; if the root is not in one, they are
included, each as git sees it. The `.gitignore` files above such a repository count as well, though git would not ask
them: who puts one there means all files below.
"""

import os
from collections.abc import Callable, Iterator
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

from cllm.corpus.git_view import GitView, RuleChain, git_view, is_ignored_by, read_rules

OWN_OUTPUT = "own output"
# `.git` is a file in a work tree. The others are directories that git would list.
ALWAYS_EXCLUDED = {".git": "", ".hg": "other version control", ".svn": "other version control", ".cllm": OWN_OUTPUT}


class WalkEntry(NamedTuple):
    """One name below the root, as a posix path (`surrogateescape` for bytes that are not UTF-8).

    `skipped` is the reason why a file is not to be read, or why a directory was not entered.
    """

    path: str
    is_directory: bool = False
    skipped: str | None = None


class _Scope(NamedTuple):
    """The repository, or the root outside of one, to which a directory belongs."""

    view: GitView
    base: str  # path of the folder that the view is of: "" or "clones/a/"
    is_repository: bool


class _Directory(NamedTuple):
    path: str  # "" or "src/unix/"
    depth: int
    scope: _Scope
    rules: RuleChain  # for paths below the work tree of the root
    only_tracked: str | None = None  # the reason why files that are not tracked are skipped


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
    view: GitView | None = None,
) -> Iterator[WalkEntry]:
    """Yield every file below `root`, and every directory that is not entered with its reason.

    `prune` maps a directory's path to a reason not to enter it, or None. At most `max_entries` names of one directory
    are kept in memory (those that sort first). `view` is git's view of `root`, which is read if it is not given.
    """
    top = root.resolve()
    view = view or git_view(top)
    walker = _Walker(top, view.prefix, max_depth, prune)
    scope = _Scope(view, "", view.repository is not None or os.path.lexists(top / ".git"))
    visited: set[tuple[int, int]] = set()
    stack = [_Directory("", 0, scope, view.rules, "ignored" if view.is_ignored else None)]
    while stack:
        directory = stack.pop()
        identity, entries = _list_directory(f"{top}/{directory.path}", max_entries)
        if identity is None:
            yield WalkEntry(directory.path, True, "unreadable")
        elif identity in visited:
            yield WalkEntry(directory.path, True, "already visited")
        else:
            visited.add(identity)
            subdirectories: list[_Directory] = []
            yield from walker.visit(directory, entries, subdirectories)
            stack.extend(reversed(subdirectories))


class _Walker:
    """Decides which entries of a directory are listed, which are skipped, and which are entered."""

    def __init__(self, top: Path, prefix: bytes, max_depth: int, prune: Callable[[str], str | None]) -> None:
        self._top, self._prefix, self._max_depth, self._prune = top, prefix, max_depth, prune

    def visit(
        self, directory: _Directory, entries: list[_Entry], subdirectories: list[_Directory]
    ) -> Iterator[WalkEntry]:
        """Yield a directory's files and what is not entered; append the directories to enter."""
        names = {entry.name for entry in entries}
        if directory.depth and ".git" in names:
            if not directory.scope.is_repository:
                directory = self._enter_repository(directory)
            elif _has_tracked(directory.scope, directory.path.rstrip("/")):
                directory = directory._replace(only_tracked="another repository")
            else:
                yield WalkEntry(directory.path, True, "another repository")
                return
        if ".gitignore" in names and (rules := read_rules(self._top / directory.path)):
            directory = directory._replace(rules=((len(self._name(directory.path)), rules), *directory.rules))
        for entry in entries:
            path = directory.path + entry.name
            if (excluded := ALWAYS_EXCLUDED.get(entry.name)) is not None:
                if excluded:
                    is_directory = entry.kind == "directory"
                    yield WalkEntry(path + "/" * is_directory, is_directory, excluded)
            elif entry.kind == "directory":
                reason, only_tracked = self._why_not_entered(directory, path)
                if reason:
                    yield WalkEntry(path + "/", True, reason)
                else:
                    inner = directory._replace(path=path + "/", depth=directory.depth + 1, only_tracked=only_tracked)
                    subdirectories.append(inner)
            else:
                yield WalkEntry(path, False, self._why_not_read(directory, path, entry.kind))

    def _enter_repository(self, directory: _Directory) -> _Directory:
        """The directory as the root of a repository, if it is one."""
        view = git_view(self._top / directory.path)
        if view.repository is None:
            return directory
        offset = len(self._name(directory.path))
        rules = tuple((offset + base, file_rules) for base, file_rules in view.rules)
        return directory._replace(scope=_Scope(view, directory.path, True), rules=(*rules, *directory.rules))

    def _why_not_read(self, directory: _Directory, path: str, kind: str) -> str | None:
        if kind != "file":
            return kind
        if _name_in(directory.scope, path) in directory.scope.view.tracked.files:
            return None
        is_ignored = is_ignored_by(directory.rules, self._name(path), False)
        return directory.only_tracked or ("ignored" if is_ignored else None)

    def _why_not_entered(self, parent: _Directory, path: str) -> tuple[str | None, str | None]:
        """The reason not to enter a directory, or None, and the reason to enter it for tracked files only, or None."""
        view = parent.scope.view
        if _name_in(parent.scope, path) in view.tracked.submodules:
            return "another repository", None
        if view.repository and self._top / path in view.repository[1:]:  # it can have another name than `.git`
            return "git directory", None
        is_ignored = is_ignored_by(parent.rules, self._name(path), True)
        only_tracked = parent.only_tracked or ("ignored" if is_ignored else None)
        if only_tracked and not _has_tracked(parent.scope, path):
            return only_tracked, None
        return ("too deep" if parent.depth == self._max_depth else self._prune(path)), only_tracked

    def _name(self, path: str) -> bytes:
        """A path below the root as one below its work tree, by which rules match."""
        return self._prefix + os.fsencode(path)


def _name_in(scope: _Scope, path: str) -> bytes:
    """A path below the root as one below the work tree of its repository, by which the index has it."""
    return scope.view.prefix + os.fsencode(path[len(scope.base) :])


def _has_tracked(scope: _Scope, path: str) -> bool:
    return _name_in(scope, path) in scope.view.tracked_directories


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
