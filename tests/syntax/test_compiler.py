"""The compilation check with gcc: verdicts, rejection of file access, limits and cleanup."""

import shutil
import time
from pathlib import Path

import pytest

from cllm.syntax.compiler import (
    COMPILES,
    CRASHED,
    FORBIDDEN,
    INVALID,
    NO_GCC,
    NO_LIMITS,
    NOT_TEXT,
    TOO_LONG,
    TOO_SLOW,
    CompileLimits,
    Verdict,
    compiles,
)

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
DOUBLINGS = b"".join(b"#define A%d A%d A%d\n" % (i, i - 1, i - 1) for i in range(1, 40))


@needs_gcc
@pytest.mark.parametrize(
    "source",
    [
        b"",
        b'#include <stdio.h>\nint main(void) { puts("a"); return 0; }\n',
        b"#include <sys/types.h>\n# include <stdint.h>\npid_t f(uint8_t a) { return a; }\n",
        b"#if defined(__has_include) && __has_include(<stdio.h>)\n#endif\nint x;\n",
    ],
)
def test_valid_code_compiles(source: bytes) -> None:
    assert compiles(source) == COMPILES


@needs_gcc
@pytest.mark.parametrize(
    "source",
    [
        b"int main(void) { return x; }\n",
        b"int main(void) { return missing(); }\n",  # a warning before gcc 14, made an error for every version
        b'#include "of_the_project.h"\n',
        b"int f(char *a) { return a; }\n",
    ],
)
def test_invalid_code_does_not_compile(source: bytes) -> None:
    assert compiles(source) == INVALID


@pytest.fixture
def secret(tmp_path: Path) -> bytes:
    """Path of a header outside of the system's; a text that uses its type compiles only if gcc read it."""
    path = tmp_path / "secret.h"
    path.write_text("typedef int leaked;\n")
    return str(path).encode()


@needs_gcc
@pytest.mark.parametrize(
    "inclusion",
    [
        b'#include "%s"',
        b"#include <%s>",
        b'#include_next "%s"',
        b'#import "%s"',
        b'%%:include "%s"',
        b'#inc\\\nlude "%s"',
        b'#inc\\ \t\nlude "%s"',
        b'#inc\\\rlude "%s"',
        b'#inc\\\r\nlude "%s"',
        b'int x;\r#include "%s"',
        b'#/* */include"%s"',
        b'#/*\n*/include /* */ "%s"',
        b'/* */#\f\vinclude "%s"',
        b'\xef\xbb\xbf#include "%s"',
        b'#define F "%s"\n#include F',
        b'#include "./../../../../../../../../../..%s"',
        b"#include <sys/../../../../..%s>",
        b'# 1 "/tmp/a.c"\n#include "../%s"',
    ],
)
def test_inclusion_of_a_file_outside_the_system_headers_is_forbidden(inclusion: bytes, secret: bytes) -> None:
    assert compiles(inclusion % secret + b"\nleaked y;\n") == FORBIDDEN


@needs_gcc
@pytest.mark.parametrize(
    "question",
    [
        b'__has_include("%s")',
        b'defined(__has_include) && __has_include ( "%s")',
        b'PASTE(__has_, include)("%s")',
        b'PASTE(__has_inc, lude_next)("%s")',
    ],
)
def test_has_include_does_not_reveal_whether_a_file_exists(question: bytes, secret: bytes) -> None:
    text = b"#define PASTE(a, b) a##b\n#if " + question + b"\n#else\n#error absent\n#endif\n"
    assert compiles(text % secret).ok is False
    assert compiles(text % secret) == compiles(text % b"/nowhere/secret.h")


@pytest.mark.parametrize(
    "source",
    [
        b'#include "/dev/zero"\n',
        b'#include "/etc/hostname"\n',
        b'#include "/proc/self/environ"\n',
        b"#include __FILE__\n",
        b'#include ""\n',
        b'#include "-"\n',
        b'#if __has_include("/etc/shadow")\n#endif\n',
        b'#embed "/etc/hostname"\n',
        b'__asm__(".incbin \\"/etc/hostname\\"");\n',
        b'#pragma GCC dependency "/etc/shadow"\n',
        b"#include",
    ],
)
def test_text_that_could_open_a_file_is_rejected_before_gcc_runs(
    source: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("gcc was started"))
    assert compiles(source) == FORBIDDEN


@needs_gcc
@pytest.mark.parametrize(
    ("source", "verdicts"),
    [
        (b"#define A0 x x\n" + DOUBLINGS + b"int y = A39;", {INVALID, CRASHED, TOO_SLOW}),
        pytest.param(
            b"#define A0 1 + 1 +\n" + DOUBLINGS + b"int y = A39 1;",
            {INVALID, CRASHED, TOO_SLOW},
            marks=pytest.mark.slow,
        ),
        (b"int x = " + b"(" * 100_000 + b"1" + b")" * 100_000 + b";", {INVALID, CRASHED}),
        (b'# 1 "/dev/zero"\nint f(void) { return x; }', {INVALID, CRASHED}),
        (b"/**/" * 200_000 + b"x", {INVALID}),
        (b"GCC " * 200_000, {INVALID}),
        (b"\\ " * 300_000, {INVALID}),
        (b"#include " * 100_000, {FORBIDDEN}),
        (b"int x;\0", {NOT_TEXT}),
        (b" " * 1_000_001, {TOO_LONG}),
    ],
    ids=["bomb", "deep-bomb", "parens", "zero-line", "comments", "gcc", "backslashes", "includes", "nul", "long"],
)
def test_hostile_text_gets_a_verdict_within_seven_seconds(source: bytes, verdicts: set[Verdict]) -> None:
    begin = time.monotonic()
    assert compiles(source) in verdicts
    assert time.monotonic() - begin < 7


def _install_fake_gcc(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    (folder / "gcc").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_hanging_compiler_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install_fake_gcc(monkeypatch, tmp_path, f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    assert compiles(b"int x;", CompileLimits(wall_seconds=1.0)) == TOO_SLOW
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_running(child)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_compiler_runs_with_limits_in_an_empty_directory_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    script = f"exec > {tmp_path}/out; pwd; ls -A | wc -l; ulimit -v; ulimit -t; ulimit -f; ulimit -c; env"
    _install_fake_gcc(monkeypatch, tmp_path, script)
    assert compiles(b"int x;") == COMPILES
    directory, files, memory, seconds, blocks, core, *environment = (tmp_path / "out").read_text().split("\n")
    assert not Path(directory).exists()
    assert directory != str(Path.cwd())
    assert int(files) == 0
    assert (int(memory), int(seconds), int(blocks), int(core)) == (390_625, 3, 1953, 0)
    names = {line.partition("=")[0] for line in environment if line}
    assert names - {"PWD", "OLDPWD", "_"} == {"PATH", "LC_ALL", "TMPDIR"}  # the shell adds the first three


@pytest.mark.parametrize(
    ("script", "verdict"),
    [("exit 0", COMPILES), ("exit 1", INVALID), ("exit 4", CRASHED), ("kill -9 $$", CRASHED), ("exit 125", NO_LIMITS)],
)
def test_exit_status_determines_the_verdict(
    script: str, verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_fake_gcc(monkeypatch, tmp_path, f"echo /etc/passwd says root; {script}")
    assert compiles(b"int x;") == verdict


@needs_gcc
def test_limits_that_cannot_be_set_give_verdict_no_limits() -> None:
    assert compiles(b"int x;", CompileLimits(memory_bytes=-2048)) == NO_LIMITS


def test_missing_gcc_gives_verdict_no_gcc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiles(b"int x;") == NO_GCC
