"""Whether a folder has a work tree at all: a bare repository and the inside of `.git` have none."""

from pathlib import Path

from cllm.git.config_file import is_true, settings_in
from cllm.git.repository import git_directory_around, repository_at

CLONE = "without a work tree: clone it, and name the clone"


def why_no_work_tree(folder: Path) -> str | None:
    """A clause that says why `folder` has no files of a work tree, and what to do; None for any ordinary folder."""
    around = git_directory_around(folder)
    if around is not None:
        where = "is" if around == folder.resolve() else f"is inside of {around},"
        if around.name == ".git":
            return f"{where} the git directory of a repository, not its files: name {around.parent}"
        return f"{where} a bare repository, {CLONE}"
    repository = repository_at(folder.resolve())
    if repository is None:
        return None
    settings = settings_in(repository.common_directory / "config")
    is_linked = repository.git_directory != repository.common_directory or "core.worktree" in settings
    if is_true(settings, "core.bare") and not is_linked:
        return f"belongs to a bare repository, {CLONE}, or name a linked work tree"
    return None
