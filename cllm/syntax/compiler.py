"""Compilation check of untrusted C text with gcc.

The text comes from a model trained on an arbitrary repository, so it is untrusted. gcc reads it from standard input
with `-fsyntax-only` (nothing is assembled, linked or run), in an empty directory, with a minimal environment, under
limits on memory, time and file size, in a process group of its own that is killed as a whole. Diagnostics are
discarded, because they quote the files that gcc opened; a verdict is one of a few fixed sentences.

Text that could make gcc open a file outside the system's headers is rejected before gcc runs: an `#include` (or
similar directive) with an absolute path, with `..`, or with a name from a macro. A crash or an exhausted limit is a
verdict about the text, not an exception.

Headers of the repository can be given: those that pass the same check are written to the directory, and no other file
of the repository is.
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
    """Limits of one compilation. gcc 12 took 20 MB and 0.08 s for 60 functions (busy EPYC, 2026-11)."""

    memory_bytes: int = 400_000_000
    cpu_seconds: int = 3
    file_bytes: int = 1_000_000
    wall_seconds: float = 6.0
    source_bytes: int = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a text compiles (None: gcc is not usable here), and a sentence that quotes neither gcc nor any file."""

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

# `__has_include` reveals which files exist: it is redefined to 0, which also covers pasted spellings.
# With carets, gcc would open the file that a `# 1 "/dev/zero"` names, to quote its lines.
# The last four are errors since gcc 14: enabling them makes the verdict independent of gcc's version.
FLAGS = (
    "-fsyntax-only",
    "-std=gnu17",
    "-fno-diagnostics-show-caret",
    *(f"-U__has_{name}" for name in ("include", "include_next", "embed")),
    *(f"-D__has_{name}(...)=0" for name in ("include", "include_next", "embed")),
    *(f"-Werror={name}" for name in ("implicit-function-declaration", "implicit-int")),
    *(f"-Werror={name}" for name in ("int-conversion", "incompatible-pointer-types")),
)

# The shell sets the limits and execs gcc: Python code between fork and exec is unsafe in a process with threads.
ULIMIT_SCRIPT = 'ulimit -c 0 && ulimit -v "$0" && ulimit -t "$1" && ulimit -f "$2" || exit 125; shift 2; exec "$@"'
CRASH_STATUS = 4  # exit status of gcc's driver if a signal ended the compiler proper
LIMITS_STATUS = 125  # exit status of ULIMIT_SCRIPT if a limit cannot be set

# gcc joins lines at a backslash (whitespace after it allowed), treats a lone carriage return as a line end, and allows
# comments anywhere in a directive. The patterns take linear time on any text. They also match in comments and strings,
# so they may reject what gcc would accept.
SPLICE = re.compile(rb"\\[ \t\v\f\r]*\n?")
INCLUSION = re.compile(
    rb"(?:(?:#|%:|\*/)[ \t\v\f]*(?:include|include_next|import|embed)\b"
    rb"|__has_(?:include|include_next|embed)[ \t]*\()[ \t]*"
)
HEADER_NAME = re.compile(rb'<\w[\w./+-]*>|"\w[\w./+-]*"')


class Compiler:
    """gcc in a temporary directory that holds only a repository's headers; a context manager."""

    def __init__(self, headers: Mapping[str, bytes] | None = None, limits: CompileLimits = CompileLimits()) -> None:
        """`headers`: contents by path in the repository. Headers that could open other files are left out."""
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
        """Return the verdict on `source`, as the function `compiles`, with the repository's headers."""
        if len(source) > self._limits.source_bytes:
            return TOO_LONG
        if b"\0" in source:  # gcc skips it as whitespace, the patterns would not
            return NOT_TEXT
        if _may_open_files(SPLICE.sub(b"", source)):
            return FORBIDDEN
        gcc = shutil.which("gcc")
        return _run(gcc, self._include, source, self._folder.name, self._limits) if gcc else NO_GCC


def compiles(source: bytes, limits: CompileLimits = CompileLimits()) -> Verdict:
    """Return whether gcc accepts `source` as a C file that uses this machine's system headers and no others.

    Returns within `limits.wall_seconds` plus the time to end a process. No content of `source` raises an exception.
    """
    with Compiler(limits=limits) as compiler:
        return compiler.compiles(source)


def _is_harmless(path: str, text: bytes, limits: CompileLimits) -> bool:
    """Whether a header can be written to the directory: its path stays inside, and it opens no file outside."""
    inside = all(part not in ("", ".", "..") for part in path.split("/")) and "\0" not in path
    return (
        inside and len(text) <= limits.source_bytes and b"\0" not in text and not _may_open_files(SPLICE.sub(b"", text))
    )


def include_folders(headers: Iterable[str]) -> list[str]:
    """Return include directories from which each header can be included by any suffix of its path, topmost first."""
    folders = {"/".join(path.split("/")[:depth]) or "." for path in headers for depth in range(path.count("/") + 1)}
    return sorted(folders, key=lambda folder: (folder.count("/"), folder))


def _may_open_files(text: bytes) -> bool:
    for inclusion in INCLUSION.finditer(text):
        name = HEADER_NAME.match(text, inclusion.end())
        if name is None or b".." in name.group():
            return True
    # `#pragma GCC dependency "file"` compares modification times; `.incbin` is read by an assembler only.
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
            if process.returncode is None:  # not reaped, so its pid is not reused
                os.killpg(process.pid, signal.SIGKILL)
    return _verdict(process.returncode)


def _verdict(status: int) -> Verdict:
    if status == 0:
        return COMPILES
    if status == LIMITS_STATUS:
        return NO_LIMITS
    return CRASHED if status < 0 or status == CRASH_STATUS else INVALID
