"""Walks of hostile trees, and the same list as git's."""

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


def reasons(root: Path) -> dict[str, str | None]:
    return {one.path: one.skipped for one in walk_entries(root)}


def put(root: Path, *paths: str, content: str = "x\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def git(root: Path, *words: str) -> bytes:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "safe.directory=*", *words]
    return subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, timeout=60).stdout


def git_files(root: Path) -> list[str]:
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    return sorted(os.fsdecode(name) for name in listed if name and not name.endswith(b"/"))


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")


def test_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    put(tmp_path, "b/2", "b/1", "a/1", "z", "B", "a.c")
    assert files(tmp_path) == ["B", "a.c", "z", "a/1", "b/1", "b/2"]


@needs_git
def test_a_tricky_tree_is_listed_as_git_lists_it(tmp_path: Path) -> None:
    put(
        tmp_path, "keep.log", "a.log", "deep/er/a.log", "deep/er/keep.log", "deep/.hidden", "build/x.c", "src/build/y.c"
    )
    put(
        tmp_path,
        "docs/build",
        "src/gen/a.c",
        "src/gen/keep/b.c",
        "sub/only/here.txt",
        "sub/only/not.txt",
        "a b ",
        "tab\t",
    )
    put(tmp_path, "logs/keep/x.log", "foobar", "foo/x/bar", "name\nline", "é/à.txt", "node.o/inside", "weird[1].txt")
    put(
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
    put(
        tmp_path,
        ".gitignore",
        content="*.log\n!keep.log\nbuild/\nfoo**/bar\n/src/gen/*\n!/src/gen/keep/\n*.o\ndata/*\n!.gitkeep\n",
    )
    put(tmp_path, "sub/.gitignore", content="only/*\n!only/here.txt\n!*.log\n")
    put(tmp_path, "logs/.gitignore", content="!keep\n")
    put(tmp_path, "deep/.gitignore", content="\ufeff.hidden\r\n")
    git(tmp_path, "init", "-q", ".")
    put(tmp_path, ".git/info/exclude", content="excluded.txt\nweird\\[1].txt\n")
    ours = [path for path in files(tmp_path) if not path.startswith(".cllm/")]
    theirs = [path for path in git_files(tmp_path) if path.split("/")[0] not in (".cllm", ".svn", ".hg")]
    assert sorted(ours) == theirs
    assert "caf\udce9.txt" in ours and "name\nline" in ours and "excluded.txt" not in ours


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
def test_generated_patterns_are_read_as_git_reads_them(
    repository: Path, top: list[str], inner: list[str], exclude: list[str]
) -> None:
    for path in PATHS:
        prefix = "file_" if path in {other.split("/")[0] for other in PATHS if "/" in other} else ""
        put(repository, prefix + path) if not (repository / (prefix + path)).exists() else None
    put(repository, ".gitignore", content="\n".join(top))
    put(repository, "c/.gitignore", content="\n".join(inner))
    put(repository, ".git/info/exclude", content="\n".join(exclude))
    assert sorted(files(repository)) == git_files(repository)


def test_links_are_not_followed_and_special_files_not_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(tmp_path, "outside/secret.txt")
    put(root, "src/a.c")
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
        seen = reasons(root)
    assert [path for path, reason in seen.items() if reason is None] == ["src/a.c", "src/hard.c"]
    assert seen["pipe.c"] == seen["socket.c"] == "not a regular file"
    assert {seen[name] for name in ("loop", "src/up", "etc", "passwd.txt", "outside", "dangling")} == {"symbolic link"}


def test_a_gitignore_that_is_a_link_a_pipe_or_a_directory_is_no_gitignore(tmp_path: Path) -> None:
    put(tmp_path, "rules", "a/x.c", "b/x.c", "c/x.c", "c/.gitignore/y", content="*\n")
    (tmp_path / "a/.gitignore").symlink_to(tmp_path / "rules")
    os.mkfifo(tmp_path / "b/.gitignore")
    assert files(tmp_path) == ["rules", "a/x.c", "b/x.c", "c/x.c", "c/.gitignore/y"]


def nest(root: Path, name: str, levels: int) -> None:
    """Directories so deep that one path cannot name them."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)  # noqa: PTH102
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


@pytest.mark.parametrize(("name", "levels", "expected"), [("d", 150, None), ("d" * 250, 40, "unreadable")])
def test_depth_is_capped_and_the_walk_does_not_recurse(
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


def test_long_and_strange_names(tmp_path: Path) -> None:
    names = ["n" * 255, "two\nlines", " ", "-rf", "caf\udce9", "emoji 🙂", "back\\slash", "quote'\""]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert sorted(files(tmp_path)) == sorted(names)


def test_few_names_of_a_huge_directory_are_kept(tmp_path: Path) -> None:
    put(tmp_path, *[f"{number:03}" for number in range(100)])
    assert [one.path for one in walk_entries(tmp_path, max_entries=3)] == ["000", "001", "002"]


def test_another_repository_inside_one_is_not_entered(tmp_path: Path) -> None:
    put(tmp_path, "a.c", "module/.git", "module/b.c", "clone/.git/HEAD", "clone/c.c")
    assert files(tmp_path) == ["a.c", "clone/c.c", "module/b.c"]
    put(tmp_path, ".git", content="gitdir: /somewhere/else\n")
    assert files(tmp_path) == ["a.c"]
    assert reasons(tmp_path)["module/"] == "another repository"


def test_a_directory_that_cannot_be_read_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "closed/a.c", "open/b.c")
    genuine = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return genuine(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    assert reasons(tmp_path) == {"open/b.c": None, "closed/": "unreadable"}


def test_a_directory_met_twice_is_entered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/x.c", "b/y.c")
    genuine = os.open

    def mounted(path: str, flags: int, mode: int = 0o777) -> int:  # b is a bind mount of a
        return genuine(str(path).removesuffix("/b") + "/a" if str(path).endswith("/b") else path, flags, mode)

    monkeypatch.setattr(os, "open", mounted)
    assert reasons(tmp_path) == {"a/x.c": None, "b/": "already visited"}
