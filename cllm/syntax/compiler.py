"""Does a C text compile? gcc's answer, without trusting the text.

The text comes from a model that learned somebody's repository, so it may hold whatever that repository holds. gcc reads
it from standard input with `-fsyntax-only` (nothing is assembled, linked or run), in an empty directory, with an empty
environment, under limits on memory, time and file size, as a process group that is killed whole. Its diagnostics are
thrown away, because they quote the files that it opened; a verdict is one of a few fixed sentences.

Before gcc sees it, a text is refused that could make it open a file outside the system's headers: an `#include` (or its
like) with an absolute path, with `..`, or whose name comes from a macro. A crash or an exhausted limit is a verdict
about the text, not an error of ours.

A repository's own headers may be given: those that pass the same check are laid in the folder, and no other file of the
repository is.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class CompileLimits:
    """What one compilation may take. gcc 12 took 20 MB and 0.08 s for 60 functions (busy EPYC, 2026-11)."""

    memory_bytes: int = 400_000_000
    cpu_seconds: int = 3
    file_bytes: int = 1_000_000
    wall_seconds: float = 6.0
    source_bytes: int = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a text compiles (None: nobody here can say), and one sentence that quotes neither gcc nor any file."""

    ok: bool | None
    reason: str


COMPILES = Verdict(ok=True, reason="it compiles")
INVALID = Verdict(ok=False, reason="gcc finds errors in it")
CRASHED = Verdict(ok=False, reason="gcc crashed or ran into its memory or processor limit")
TOO_SLOW = Verdict(ok=False, reason="gcc did not finish in time")
TOO_LONG = Verdict(ok=False, reason="it is longer than the limit for one compilation")
NOT_TEXT = Verdict(ok=False, reason="it holds a NUL byte")
FORBIDDEN = Verdict(ok=False, reason="it could open a file other than a system header")
NO_GCC = Verdict(ok=None, reason="no gcc was found on this machine")
NO_LIMITS = Verdict(ok=None, reason="gcc could not be run under limits on this machine")

# `__has_include` tells which files exist: here it always says 0, however it is spelled or pasted together.
# Without the caret option gcc opens the file that a `# 1 "/dev/zero"` names, to quote its lines.
# The last four are errors since gcc 14: with them here, the verdict does not depend on gcc's version.
FLAGS = (
    "-fsyntax-only",
    "-std=gnu17",
    "-fno-diagnostics-show-caret",
    *(f"-U__has_{name}" for name in ("include", "include_next", "embed")),
    *(f"-D__has_{name}(...)=0" for name in ("include", "include_next", "embed")),
    *(f"-Werror={name}" for name in ("implicit-function-declaration", "implicit-int")),
    *(f"-Werror={name}" for name in ("int-conversion", "incompatible-pointer-types")),
)

# The shell sets the limits and becomes gcc: Python code between fork and exec is unsafe beside threads.
ULIMIT_SCRIPT = 'ulimit -c 0 && ulimit -v "$0" && ulimit -t "$1" && ulimit -f "$2" || exit 125; shift 2; exec "$@"'
CRASH_STATUS = 4  # of gcc's driver, when the compiler proper was ended by a signal
LIMITS_STATUS = 125  # of our shell line

# gcc joins lines at a backslash (blanks after it allowed), takes a lone carriage return for a line end, and lets a
# comment stand anywhere in a directive. The patterns cost linear time on any text. They look into comments and strings
# too, where they may refuse what gcc would accept.
SPLICE = re.compile(rb"\\[ \t\v\f\r]*\n?")
INCLUSION = re.compile(
    rb"(?:(?:#|%:|\*/)[ \t\v\f]*(?:include|include_next|import|embed)\b"
    rb"|__has_(?:include|include_next|embed)[ \t]*\()[ \t]*"
)
HEADER_NAME = re.compile(rb'<\w[\w./+-]*>|"\w[\w./+-]*"')


class Compiler:
    """gcc in a folder that holds a repository's headers, and nothing else; a context manager."""

    def __init__(self, headers: Mapping[str, bytes] | None = None, limits: CompileLimits = CompileLimits()) -> None:
        """`headers`: texts by their paths in the repository. Those that could open other files are left out."""
        self._headers = {path: text for path, text in (headers or {}).items() if _is_harmless(path, text, limits)}
        self._limits = limits

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="cllm-compile-")
        for path, text in self._headers.items():
            file = Path(self._folder.name, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        self._include = tuple(f"-I{folder}" for folder in include_folders(self._headers))
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def compiles(self, source: bytes) -> Verdict:
        """As `compiles`."""
        if len(source) > self._limits.source_bytes:
            return TOO_LONG
        if b"\0" in source:  # gcc skips it as a blank, the patterns would not
            return NOT_TEXT
        if _may_open_files(SPLICE.sub(b"", source)):
            return FORBIDDEN
        gcc = shutil.which("gcc")
        return _run(gcc, self._include, source, self._folder.name, self._limits) if gcc else NO_GCC


def compiles(source: bytes, limits: CompileLimits = CompileLimits()) -> Verdict:
    """Whether gcc accepts `source` as a C file that may use this machine's system headers and no others.

    Returns within `limits.wall_seconds` (and the moment it takes to end a process); raises nothing about `source`.
    """
    with Compiler(limits=limits) as compiler:
        return compiler.compiles(source)


def _is_harmless(path: str, text: bytes, limits: CompileLimits) -> bool:
    """Whether a header may lie in the folder: inside of it, and opening no file that is not."""
    inside = all(part not in ("", ".", "..") for part in path.split("/")) and "\0" not in path
    return (
        inside and len(text) <= limits.source_bytes and b"\0" not in text and not _may_open_files(SPLICE.sub(b"", text))
    )


def include_folders(headers: Iterable[str]) -> list[str]:
    """Folders from which the headers can be named by their last parts, or by more of them; the uppermost first."""
    folders = {"/".join(path.split("/")[:depth]) or "." for path in headers for depth in range(path.count("/") + 1)}
    return sorted(folders, key=lambda folder: (folder.count("/"), folder))


def _may_open_files(text: bytes) -> bool:
    for inclusion in INCLUSION.finditer(text):
        name = HEADER_NAME.match(text, inclusion.end())
        if name is None or b".." in name.group():
            return True
    # `#pragma GCC dependency "file"` compares ages; `.incbin` only an assembler would read.
    return b".incbin" in text or any(b"GCC" in line and b"dependency" in line for line in text.splitlines())


def _run(gcc: str, include: tuple[str, ...], source: bytes, folder: str, limits: CompileLimits) -> Verdict:
    kibibytes, blocks = limits.memory_bytes // 1024, limits.file_bytes // 512  # the units of ulimit
    ulimit_command = ("/bin/sh", "-c", ULIMIT_SCRIPT, str(kibibytes), str(limits.cpu_seconds), str(blocks))
    with subprocess.Popen(
        [*ulimit_command, gcc, *FLAGS, *include, "-xc", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": folder},
        start_new_session=True,
    ) as process:
        try:
            process.communicate(source, timeout=limits.wall_seconds)
        except subprocess.TimeoutExpired:
            return TOO_SLOW
        finally:
            if process.returncode is None:  # not reaped, so its number is still its own
                os.killpg(process.pid, signal.SIGKILL)
    return _verdict(process.returncode)


def _verdict(status: int) -> Verdict:
    if status == 0:
        return COMPILES
    if status == LIMITS_STATUS:
        return NO_LIMITS
    return CRASHED if status < 0 or status == CRASH_STATUS else INVALID
