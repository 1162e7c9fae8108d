"""Whether a folder has a work tree at all: a bare repository and the inside of `.git` have none."""

from pathlib import Path

from cllm.git.config_file import is_true, settings_in
from cllm.git.repository import git_directory_around, repository_at


def why_no_work_tree(folder: Path) -> str | None:
    """A clause that says why `folder` has no files of a work tree, "is ..."; None for any ordinary folder."""
    around = git_directory_around(folder)
    if around is not None:
        is_whole = around == folder.resolve()
        kind = "a bare repository" if around.name != ".git" else "a repository's own git directory"
        return f"is {kind if is_whole else f'inside of {around}, {kind}'}, without a work tree"
    repository = repository_at(folder.resolve())
    if repository is None:
        return None
    settings = settings_in(repository.common_directory / "config")
    is_linked = repository.git_directory != repository.common_directory or "core.worktree" in settings
    if is_true(settings, "core.bare") and not is_linked:
        return "belongs to a bare repository, without a work tree"
    return None
