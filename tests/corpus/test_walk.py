"""The directory walk: comparison with `git ls-files`, and hostile directory trees."""

import inspect
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cllm.corpus.walk import WalkEntry, walk


def walk_entries(root: Path, max_depth: int = 64, max_entries: int = 100_000) -> list[WalkEntry]:
    return list(walk(root, max_depth=max_depth, max_entries=max_entries))


def files(root: Path) -> list[str]:
    return [one.path for one in walk_entries(root) if one.skipped is None]


def skip_reasons(root: Path) -> dict[str, str | None]:
    return {one.path: one.skipped for one in walk_entries(root)}


def write_files(root: Path, *paths: str, content: str = "x\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def git(root: Path, *words: str) -> bytes:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "safe.directory=*", *words]
    return subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, timeout=60).stdout


def files_of_git(root: Path) -> list[str]:
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    return sorted(os.fsdecode(name) for name in listed if name and not name.endswith(b"/"))


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")


def test_order_is_independent_of_the_file_system(tmp_path: Path) -> None:
    write_files(tmp_path, "b/2", "b/1", "a/1", "z", "B", "a.c")
    assert files(tmp_path) == ["B", "a.c", "z", "a/1", "b/1", "b/2"]


@needs_git
def test_nested_gitignores_give_the_list_of_git(tmp_path: Path) -> None:
    write_files(
        tmp_path, "keep.log", "a.log", "deep/er/a.log", "deep/er/keep.log", "deep/.hidden", "build/x.c", "src/build/y.c"
    )
    write_files(
        tmp_path,
        "docs/build",
        "src/gen/a.c",
        "src/gen/keep/b.c",
        "sub/only/here.txt",
        "sub/only/not.txt",
        "a b ",
        "tab\t",
    )
    write_files(
        tmp_path, "logs/keep/x.log", "foobar", "foo/x/bar", "name\nline", "é/à.txt", "node.o/inside", "weird[1].txt"
    )
    write_files(
        tmp_path,
        ".cllm/run",
        ".svn/entries",
        ".hg/store",
        "x/y/z/deep.txt",
        "excluded.txt",
        "data/.gitkeep",
        "data/big",
    )
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb") as file:  # noqa: PTH123  (a name that is not UTF-8)
        file.write(b"x")
    write_files(
        tmp_path,
        ".gitignore",
        content="*.log\n!keep.log\nbuild/\nfoo**/bar\n/src/gen/*\n!/src/gen/keep/\n*.o\ndata/*\n!.gitkeep\n",
    )
    write_files(tmp_path, "sub/.gitignore", content="only/*\n!only/here.txt\n!*.log\n")
    write_files(tmp_path, "logs/.gitignore", content="!keep\n")
    write_files(tmp_path, "deep/.gitignore", content="\ufeff.hidden\r\n")
    git(tmp_path, "init", "-q", ".")
    write_files(tmp_path, ".git/info/exclude", content="excluded.txt\nweird\\[1].txt\n")
    walked = [path for path in files(tmp_path) if not path.startswith(".cllm/")]
    listed_by_git = [path for path in files_of_git(tmp_path) if path.split("/")[0] not in (".cllm", ".svn", ".hg")]
    assert sorted(walked) == listed_by_git
    assert "caf\udce9.txt" in walked and "name\nline" in walked and "excluded.txt" not in walked


PATHS = [
    "a", "b", "ab", "a.c", "b.c", "a/a", "a/b", "a/b.c", "a/ab/c", "a/ab/b.c", "b/a/a", "b/a/b/c", "b/ab", "c/a/c/a",
    "c/a/c/b.c", "c/abc/ab.c", "abc/a/b", "abc/b", "!a", "#b", "a b", "c/a]", "c/[a", "c/-", "c/^",
]  # fmt: skip
ATOMS = [
    "a",
    "b",
    "c",
    ".c",
    "/",
    "/",
    "*",
    "**",
    "?",
    "[ab]",
    "[!a]",
    "[a-c]",
    "[]a]",
    "[^-]",
    "\\a",
    " ",
    "[",
    "\\[",
    "!",
]
LINES = st.lists(
    st.tuples(st.sampled_from(["", "", "", "!", "/"]), st.lists(st.sampled_from(ATOMS), min_size=1, max_size=5)).map(
        lambda parts: parts[0] + "".join(parts[1])
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    if shutil.which("git"):
        git(root, "init", "-q", ".")
    return root


@needs_git
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=LINES, inner=LINES, exclude=LINES)
def test_generated_patterns_give_the_list_of_git(
    repository: Path, top: list[str], inner: list[str], exclude: list[str]
) -> None:
    for path in PATHS:
        prefix = "file_" if path in {other.split("/")[0] for other in PATHS if "/" in other} else ""
        write_files(repository, prefix + path) if not (repository / (prefix + path)).exists() else None
    write_files(repository, ".gitignore", content="\n".join(top))
    write_files(repository, "c/.gitignore", content="\n".join(inner))
    write_files(repository, ".git/info/exclude", content="\n".join(exclude))
    assert sorted(files(repository)) == files_of_git(repository)


def test_symbolic_links_are_not_followed_and_special_files_not_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_files(tmp_path, "outside/secret.txt")
    write_files(root, "src/a.c")
    (root / "loop").symlink_to(root)
    (root / "src" / "up").symlink_to("..")
    (root / "etc").symlink_to("/etc")
    (root / "passwd.txt").symlink_to("/etc/passwd")
    (root / "outside").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to("nowhere")
    os.link(root / "src" / "a.c", root / "src" / "hard.c")
    os.mkfifo(root / "pipe.c")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket.c"))
        skipped = skip_reasons(root)
    assert [path for path, reason in skipped.items() if reason is None] == ["src/a.c", "src/hard.c"]
    assert skipped["pipe.c"] == skipped["socket.c"] == "not a regular file"
    assert {skipped[name] for name in ("loop", "src/up", "etc", "passwd.txt", "outside", "dangling")} == {
        "symbolic link"
    }


def test_gitignore_that_is_not_a_regular_file_is_ignored(tmp_path: Path) -> None:
    write_files(tmp_path, "rules", "a/x.c", "b/x.c", "c/x.c", "c/.gitignore/y", content="*\n")
    (tmp_path / "a/.gitignore").symlink_to(tmp_path / "rules")
    os.mkfifo(tmp_path / "b/.gitignore")
    assert files(tmp_path) == ["rules", "a/x.c", "b/x.c", "c/x.c", "c/.gitignore/y"]


def nest(root: Path, name: str, levels: int) -> None:
    """Create directories nested so deeply that their path exceeds the limit of the system."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)  # noqa: PTH102
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


@pytest.mark.parametrize(("name", "levels", "expected"), [("d", 150, None), ("d" * 250, 40, "unreadable")])
def test_depth_is_limited_and_the_walk_is_iterative(
    tmp_path: Path, name: str, levels: int, expected: str | None
) -> None:
    nest(tmp_path, name, levels)
    assert [one.skipped for one in walk_entries(tmp_path, max_depth=10)] == ["too deep"]
    allowed = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        everything = walk_entries(tmp_path, max_depth=10_000)
    finally:
        sys.setrecursionlimit(allowed)
    assert [one.skipped for one in everything] == ([expected] if expected else [])
    subprocess.run(["rm", "-rf", str(tmp_path / name)], check=True)


def test_long_and_unusual_names_are_listed(tmp_path: Path) -> None:
    names = ["n" * 255, "two\nlines", " ", "-rf", "caf\udce9", "emoji 🙂", "back\\slash", "quote'\""]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert sorted(files(tmp_path)) == sorted(names)


def test_entries_of_a_huge_directory_are_limited(tmp_path: Path) -> None:
    write_files(tmp_path, *[f"{number:03}" for number in range(100)])
    assert [one.path for one in walk_entries(tmp_path, max_entries=3)] == ["000", "001", "002"]


def test_nested_repositories_are_skipped_inside_a_repository(tmp_path: Path) -> None:
    write_files(tmp_path, "a.c", "module/.git", "module/b.c", "clone/.git/HEAD", "clone/c.c")
    assert files(tmp_path) == ["a.c", "clone/c.c", "module/b.c"]
    write_files(tmp_path, ".git", content="gitdir: /somewhere/else\n")
    assert files(tmp_path) == ["a.c"]
    assert skip_reasons(tmp_path)["module/"] == "another repository"


def test_unreadable_directory_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, "closed/a.c", "open/b.c")
    original = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return original(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    assert skip_reasons(tmp_path) == {"open/b.c": None, "closed/": "unreadable"}


def test_directory_mounted_twice_is_entered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, "a/x.c", "b/y.c")
    original = os.open

    def mounted(path: str, flags: int, mode: int = 0o777) -> int:  # b is a bind mount of a
        return original(str(path).removesuffix("/b") + "/a" if str(path).endswith("/b") else path, flags, mode)

    monkeypatch.setattr(os, "open", mounted)
    assert skip_reasons(tmp_path) == {"a/x.c": None, "b/": "already visited"}
