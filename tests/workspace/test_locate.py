"""The repository of a command that names none: found upwards, by workspaces and work trees."""

import os
from pathlib import Path

import pytest

from cllm.workspace.locate import is_home_or_root, repository_of


def make_work_tree(folder: Path) -> Path:
    for name in ("objects", "refs"):
        (folder / ".git" / name).mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder three levels below tmp_path."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GIT_CEILING_DIRECTORIES", raising=False)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    return tmp_path / "a" / "b" / "c"


def test_folder_of_no_repository_is_its_own(deep: Path) -> None:
    assert repository_of(deep) == deep
    (deep / "link").symlink_to(deep.parent)
    assert repository_of(deep / "link") == deep.parent


def test_root_of_the_work_tree_is_found(deep: Path) -> None:
    make_work_tree(deep.parents[1])
    assert repository_of(deep) == deep.parents[1]
    (deep.parent / ".cllm").mkdir()  # of a subfolder that was named
    assert repository_of(deep) == deep.parent


def test_workspace_is_found_without_git_but_not_beyond_a_work_tree(deep: Path) -> None:
    (deep.parents[1] / ".cllm").mkdir()
    assert repository_of(deep) == deep.parents[1]
    make_work_tree(deep.parent)
    assert repository_of(deep) == deep.parent


def test_workspace_that_is_a_link_or_of_another_user_is_passed_by(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (deep.parent / ".cllm").symlink_to(deep.parents[1])
    assert repository_of(deep) == deep
    (deep.parents[1] / ".cllm").mkdir()
    assert repository_of(deep) == deep.parents[1]
    original = Path.stat

    def of_another_user(path: Path, **options: bool) -> os.stat_result:
        status = original(path, **options)
        return os.stat_result((*status[:4], status.st_uid + 1, *status[5:])) if path.name == ".cllm" else status

    monkeypatch.setattr(Path, "stat", of_another_user)
    assert repository_of(deep) == deep


def test_home_is_not_found_from_below(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_work_tree(deep.parents[1])
    (home / ".cllm").mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert repository_of(deep) == deep
    assert repository_of(home) == home and is_home_or_root(home) and is_home_or_root(Path("/"))
    assert not is_home_or_root(deep)


def test_folder_that_all_users_share_is_not_found_from_below(deep: Path) -> None:
    shared = make_work_tree(deep.parents[1])
    (shared / ".cllm").mkdir()
    shared.chmod(0o1777)
    assert repository_of(deep) == deep
    assert repository_of(shared) == shared
    shared.chmod(0o777)
    assert repository_of(deep) == shared


def test_git_directory_is_not_taken_for_its_work_tree(deep: Path) -> None:
    make_work_tree(deep.parents[1])
    assert repository_of(deep.parents[1] / ".git" / "refs") == deep.parents[1] / ".git" / "refs"
