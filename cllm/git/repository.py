"""Find the git repository that a folder belongs to, as git does: the nearest `.git` in the folder or above it.

`.git` is a directory, or in a linked work tree or a submodule a file with the directory's path. The search ends at the
root of the file system, at another file system, and below a folder that GIT_CEILING_DIRECTORIES names. Two folders are
never found from below: the user's home, where people keep configuration files in git and ignore all others, and `/`.

Not considered: GIT_DIR and GIT_WORK_TREE, `core.worktree`, and who owns the folder (`safe.directory`), because nothing
in it is executed.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cllm.git.regular_file import read_regular_file

MAX_POINTER_BYTES = 8192  # of the files `.git`, `HEAD` and `commondir`, which hold one path or one hash
_HEAD = re.compile(rb"ref:\s*refs/|[0-9a-f]{40}")


class Repository(NamedTuple):
    """Absolute paths: the work tree's root, its git directory, and the one that all linked work trees share."""

    work_tree: Path
    git_directory: Path
    common_directory: Path


def find_repository(folder: Path) -> Repository | None:
    """The repository whose work tree contains `folder`, or None."""
    for candidate in folders_upwards(folder):
        if repository := repository_at(candidate):
            return repository
    return None


def folders_upwards(folder: Path) -> Iterator[Path]:
    """The real path of `folder`, then of the folders above it in which git would look, except home and `/`."""
    path = folder.resolve()
    names = [os.environ.get("HOME", ""), *os.environ.get("GIT_CEILING_DIRECTORIES", "").split(":")]
    ends = {Path("/"), *(Path(name).resolve() for name in names if name)}
    yield path
    while path.parent not in ends and path.parent != path and _is_same_device(path, path.parent):
        path = path.parent
        yield path


def repository_at(folder: Path) -> Repository | None:
    """The repository whose work tree begins at `folder` (an absolute path), or None."""
    git_directory = folder / ".git"
    if not _is_directory(git_directory):
        content = read_regular_file(git_directory, MAX_POINTER_BYTES)
        if content is None or not content.startswith(b"gitdir: "):
            return None
        git_directory = _path_in(folder, content.removeprefix(b"gitdir: "))
    common_directory = _common_directory(git_directory)
    if not _is_git_directory(git_directory, common_directory):
        return None
    return Repository(folder, git_directory, common_directory)


def git_directory_around(folder: Path) -> Path | None:
    """The git directory (a bare repository, or a `.git`) that contains `folder` or is it; None in a work tree."""
    for candidate in folders_upwards(folder):
        if repository_at(candidate):
            return None
        if _is_git_directory(candidate, _common_directory(candidate)):
            return candidate
    return None


def _is_git_directory(path: Path, common_directory: Path) -> bool:
    head = read_regular_file(path / "HEAD", MAX_POINTER_BYTES)
    is_head = head is not None and _HEAD.match(head) is not None
    return is_head and all(_is_directory(common_directory / name) for name in ("objects", "refs"))


def _common_directory(git_directory: Path) -> Path:
    content = read_regular_file(git_directory / "commondir", MAX_POINTER_BYTES)
    return git_directory if content is None else _path_in(git_directory, content)


def _path_in(folder: Path, content: bytes) -> Path:
    """The path that a pointer file in `folder` holds."""
    return Path(os.path.normpath(folder / os.fsdecode(content.rstrip(b"\r\n").replace(b"\0", b""))))


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission to search the folder above
        return False


def _is_same_device(path: Path, parent: Path) -> bool:
    try:
        return path.stat().st_dev == parent.stat().st_dev
    except OSError:
        return False
