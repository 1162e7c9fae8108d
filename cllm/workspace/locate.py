"""Find the repository for a command that names none: the one that the current folder belongs to.

The search goes upwards as git's does (`cllm.git.repository`) and ends at the first folder that has a workspace or is
the root of a work tree, so that a repository's folders share one model, and a repository inside of another has its own.
Home, `/` and folders that all users share, like /tmp, are never found. A workspace of another user is passed by: it
could have been put there for others to find.
"""

import os
import stat
from pathlib import Path

from cllm.git.repository import folders_upwards, git_directory_around, repository_at


def repository_of(folder: Path) -> Path:
    """The absolute path of the repository that `folder` belongs to; `folder` itself if it belongs to none."""
    start = folder.resolve()
    if git_directory_around(start) is not None:
        return start  # it has no work tree, which is reported later
    for candidate in folders_upwards(start):
        if candidate != start and is_shared(candidate):
            break
        if has_workspace(candidate, start) or repository_at(candidate):
            return candidate
    return start


def has_workspace(candidate: Path, start: Path) -> bool:
    """Whether there is a workspace, of this user or of the owner of the folder `start`."""
    path = candidate / ".cllm"
    try:
        owners = {os.geteuid(), start.stat().st_uid}
        return path.is_dir() and not path.is_symlink() and path.stat().st_uid in owners
    except OSError:
        return False


def is_shared(folder: Path) -> bool:
    """Whether all users may write to a folder, and each may remove only what is the user's own: /tmp, /var/tmp."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX)


def is_home_or_root(folder: Path) -> bool:
    """Whether a folder is the user's home or `/`."""
    names = [name for name in ("/", os.environ.get("HOME")) if name]
    return folder.resolve() in {Path(name).resolve() for name in names}
