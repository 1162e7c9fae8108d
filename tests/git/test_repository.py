"""The search for a repository: nested folders, linked work trees, bare repositories, and where it ends."""

import os
from pathlib import Path

import pytest
from git.conftest import make_git_directory

from cllm.git.repository import find_repository, folders_upwards, git_directory_around
from cllm.git.work_tree import why_no_work_tree


def test_nearest_work_tree_is_found_from_below(git_directory: Path) -> None:
    root = git_directory.parent
    (root / "a" / "b").mkdir(parents=True)
    for folder in (root, root / "a" / "b"):
        assert find_repository(folder) == (root, git_directory, git_directory)
    inner = make_git_directory(root / "a" / ".git")
    assert find_repository(root / "a" / "b") == (root / "a", inner, inner)


def test_link_to_a_folder_belongs_to_the_repository_that_it_leads_to(git_directory: Path, tmp_path: Path) -> None:
    (git_directory.parent / "a").mkdir()
    (tmp_path / "link").symlink_to(git_directory.parent / "a")
    found = find_repository(tmp_path / "link")
    assert found is not None and found.work_tree == git_directory.parent


@pytest.mark.parametrize("relative", [True, False])
def test_linked_work_tree_names_its_git_directory(git_directory: Path, tmp_path: Path, relative: bool) -> None:
    linked, own = tmp_path / "linked", git_directory / "worktrees" / "linked"
    linked.mkdir()
    own.mkdir(parents=True)
    (own / "HEAD").write_text("a" * 40 + "\n")
    (own / "commondir").write_text("../..\n")
    target = os.path.relpath(own, linked) if relative else str(own)
    (linked / ".git").write_text(f"gitdir: {target}\n")
    assert find_repository(linked) == (linked, own, git_directory)
    assert why_no_work_tree(linked) is None


@pytest.mark.parametrize("content", ["", "gitdir: ", "gitdir: /nowhere\n", "gitdir: .\n", "gitdir: a\0b\n", "text"])
def test_file_that_leads_to_no_git_directory_is_no_repository(tmp_path: Path, content: str) -> None:
    (tmp_path / ".git").write_text(content)
    assert find_repository(tmp_path) is None and why_no_work_tree(tmp_path) is None


def test_directory_named_git_that_git_has_not_made_is_no_repository(git_directory: Path) -> None:
    for head in ("", "text", "ref: HEAD"):
        (git_directory / "HEAD").write_text(head)
        assert find_repository(git_directory.parent) is None
    (git_directory / "HEAD").unlink()
    os.mkfifo(git_directory / "HEAD")
    assert find_repository(git_directory.parent) is None


def test_home_and_the_root_of_the_file_system_are_not_found_from_below(home: Path) -> None:
    make_git_directory(home / ".git")
    (home / "project").mkdir()
    assert find_repository(home / "project") is None
    found = find_repository(home)  # named itself
    assert found is not None and found.work_tree == home
    assert Path("/") not in list(folders_upwards(home / "project"))
    assert list(folders_upwards(Path("/"))) == [Path("/")]


def test_search_ends_at_a_ceiling_and_at_another_file_system(
    git_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = git_directory.parent / "a"
    folder.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", f"/nowhere:{git_directory.parent}")
    assert find_repository(folder) is None
    monkeypatch.delenv("GIT_CEILING_DIRECTORIES")
    assert find_repository(folder) is not None
    monkeypatch.setattr("cllm.git.repository._is_same_device", lambda path, parent: False)
    assert find_repository(folder) is None


def test_git_directories_have_no_work_tree(git_directory: Path, tmp_path: Path) -> None:
    bare = make_git_directory(tmp_path / "bare.git")
    assert git_directory_around(bare / "info") == bare
    assert why_no_work_tree(bare) == "is a bare repository, without a work tree: clone it, and name the clone"
    assert f"is inside of {bare}" in (why_no_work_tree(bare / "info") or "")
    for folder in (git_directory, git_directory / "info"):
        assert (why_no_work_tree(folder) or "").endswith(f"not its files: name {git_directory.parent}")
    assert why_no_work_tree(git_directory.parent) is None and why_no_work_tree(tmp_path) is None


def test_folder_whose_git_file_leads_to_a_bare_repository_has_no_work_tree(tmp_path: Path) -> None:
    bare = make_git_directory(tmp_path / ".bare")
    (bare / "config").write_text("[core]\n\tbare = true\n")
    (tmp_path / ".git").write_text("gitdir: ./.bare\n")
    assert (why_no_work_tree(tmp_path) or "").startswith("belongs to a bare repository, without a work tree")
    linked, own = tmp_path / "main", bare / "worktrees" / "main"
    linked.mkdir()
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    (linked / ".git").write_text(f"gitdir: {own}\n")
    assert why_no_work_tree(linked) is None
