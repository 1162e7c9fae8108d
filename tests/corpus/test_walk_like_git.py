"""The walk lists the regular files that `git ls-files --cached --others --exclude-standard` lists."""

import os
import shutil
from pathlib import Path

import pytest
from corpus.generated_repository import RepositoryMaker, regular_files_of_git, run_git

from cllm.corpus.git_view import git_view
from cllm.corpus.walk import walk

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
# 200 repositories take 20 s: CLLM_REPOSITORIES=200 pytest tests/corpus/test_walk_like_git.py
COUNT = int(os.environ.get("CLLM_REPOSITORIES", "40"))


@pytest.fixture(autouse=True)
def own_home(own_git_home: Path) -> Path:
    return own_git_home


def files(root: Path) -> list[str]:
    entries = walk(root, max_depth=64, max_entries=100_000)
    return sorted(entry.path for entry in entries if entry.skipped is None)


@pytest.mark.parametrize("seed", range(COUNT))
def test_generated_repository_gives_the_list_of_git(tmp_path: Path, own_home: Path, seed: int) -> None:
    own_home.rmdir()
    folder = RepositoryMaker(tmp_path, seed).make()
    assert git_view(folder).notes == ()
    assert files(folder) == regular_files_of_git(folder), folder


def write_files(root: Path, *paths: str, content: str = "x\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    run_git(tmp_path / "repository", "init", "-q", ".")
    return tmp_path / "repository"


def test_rules_above_a_folder_apply_to_it(root: Path) -> None:
    """BurntSushi/ripgrep#221, #2731."""
    write_files(root, "app/secret.txt", "app/gen/a.c", "app/build/z.c", "app/main.c", "build/x.c")
    write_files(root, ".gitignore", content="secret.txt\n/app/gen/\nbuild/\n")
    assert files(root / "app") == regular_files_of_git(root / "app") == ["main.c"]
    assert files(root / "app" / "gen") == files(root / "app" / "build") == []
    assert git_view(root / "app" / "build").is_ignored


def test_tracked_files_are_listed_though_ignored(root: Path) -> None:
    """BurntSushi/ripgrep#1127, isomorphic-git/isomorphic-git#2394."""
    write_files(root, "vendored.c", "gen/x.c", "gen/y.c", "gen/deep/z.c", "other.c")
    write_files(root, ".gitignore", content="*\n")
    run_git(root, "add", "-f", "vendored.c", "gen/x.c")
    assert files(root) == regular_files_of_git(root) == ["gen/x.c", "vendored.c"]
    assert files(root / "gen") == ["x.c"]
    skipped = {entry.path: entry.skipped for entry in walk(root, max_depth=64, max_entries=100)}
    assert skipped["gen/y.c"] == skipped["gen/deep/"] == skipped["other.c"] == "ignored"


def test_exclude_file_of_a_linked_work_tree_is_in_the_common_directory(root: Path, tmp_path: Path) -> None:
    for name in ("user.name", "user.email"):
        run_git(root, "config", name, "a")
    run_git(root, "commit", "-q", "--allow-empty", "-m", "x")
    run_git(root, "worktree", "add", "-q", "../linked")
    write_files(root, ".git/info/exclude", content="private\n")
    write_files(tmp_path / "linked", "private", "public")
    assert files(tmp_path / "linked") == regular_files_of_git(tmp_path / "linked") == ["public"]


def test_damaged_index_is_noted_and_the_rules_decide(root: Path) -> None:
    write_files(root, "a.c", "b.c")
    write_files(root, ".gitignore", content="b.c\n")
    run_git(root, "add", "-f", "a.c", "b.c")
    assert files(root) == [".gitignore", "a.c", "b.c"]
    index = root / ".git" / "index"
    index.write_bytes(index.read_bytes()[:-1] + b"?")
    (note,) = git_view(root).notes
    assert note.startswith(f"the list of tracked files, {index}, is not used: its checksum is wrong; ")
    assert files(root) == [".gitignore", "a.c"]
    run_git(root, "config", "extensions.objectFormat", "md5")
    (note,) = git_view(root).notes
    assert "it uses md5, expected sha1 or sha256" in note


def test_git_directory_with_another_name_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    run_git(tmp_path / "repository", "init", "-q", "--separate-git-dir=data", ".")
    write_files(tmp_path / "repository", "a.c")
    assert files(tmp_path / "repository") == ["a.c"]


def test_other_version_control_is_skipped_with_a_reason(root: Path) -> None:
    write_files(root, ".hg/store", ".svn/entries", ".cllm/lock", "a.c")
    skipped = {entry.path: entry.skipped for entry in walk(root, max_depth=64, max_entries=100)}
    assert skipped == {"a.c": None, ".cllm/": "own output", **dict.fromkeys((".hg/", ".svn/"), "other version control")}


def test_repositories_in_a_plain_folder_are_each_listed_as_git_does(tmp_path: Path) -> None:
    for name in ("one", "more/two"):
        root = tmp_path / "clones" / name
        root.mkdir(parents=True)
        run_git(root, "init", "-q", ".")
        write_files(root, "a.c", "b.c", "c.c", "gen/x.c", "gen/y.c", "secret")
        write_files(root, ".gitignore", content="/b.c\ngen/\n")
        write_files(root, ".git/info/exclude", content="/c.c\n")
        run_git(root, "add", "-f", "gen/x.c")
        assert regular_files_of_git(root) == [".gitignore", "a.c", "gen/x.c", "secret"]
        run_git(root / "gen", "init", "-q", "inner")
        write_files(root, "gen/inner/z.c", "inner.c")
    write_files(tmp_path / "clones", ".gitignore", content="secret\n/one/inner.c\n")
    expected = [f"{name}/{file}" for name in ("more/two", "one") for file in (".gitignore", "a.c", "gen/x.c")]
    assert files(tmp_path / "clones") == [".gitignore", *expected[:3], "more/two/inner.c", *expected[3:]]


def test_home_that_is_a_repository_does_not_ignore_the_projects_in_it(own_home: Path) -> None:
    run_git(own_home, "init", "-q", ".")
    write_files(own_home, ".gitignore", content="*\n")
    write_files(own_home, "project/a.c")
    assert files(own_home / "project") == ["a.c"]
    assert files(own_home) == []
