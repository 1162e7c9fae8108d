"""Does a C text compile? gcc's answer, without trusting the text.

The text comes from a model that learned somebody's repository, so it may hold whatever that repository holds. gcc reads
it from standard input with `-fsyntax-only` (nothing is assembled, linked or run), in an empty directory, with an empty
environment, under limits on memory, time and file size, as a process group that is killed whole. Its diagnostics are
thrown away, because they quote the files that it opened; a verdict is one of a few fixed sentences.

Before gcc sees it, a text is refused that could make it open a file outside the system's headers: an `#include` (or its
like) with an absolute path, with `..`, or whose name comes from a macro. A crash or an exhausted limit is a verdict
about the text, not an error of ours.

Left out: project headers. A text that needs them does not compile here.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass


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
LIMITED = 'ulimit -c 0 && ulimit -v "$0" && ulimit -t "$1" && ulimit -f "$2" || exit 125; shift 2; exec "$@"'
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


def compiles(source: bytes, limits: CompileLimits = CompileLimits()) -> Verdict:
    """Whether gcc accepts `source` as a C file that may use this machine's system headers and no others.

    Returns within `limits.wall_seconds` (and the moment it takes to end a process); raises nothing about `source`.
    """
    if len(source) > limits.source_bytes:
        return TOO_LONG
    if b"\0" in source:  # gcc skips it as a blank, the patterns would not
        return NOT_TEXT
    if _may_open_files(SPLICE.sub(b"", source)):
        return FORBIDDEN
    gcc = shutil.which("gcc")
    return _run(gcc, source, limits) if gcc else NO_GCC


def _may_open_files(text: bytes) -> bool:
    for inclusion in INCLUSION.finditer(text):
        name = HEADER_NAME.match(text, inclusion.end())
        if name is None or b".." in name.group():
            return True
    # `#pragma GCC dependency "file"` compares ages; `.incbin` only an assembler would read.
    return b".incbin" in text or any(b"GCC" in line and b"dependency" in line for line in text.splitlines())


def _run(gcc: str, source: bytes, limits: CompileLimits) -> Verdict:
    kibibytes, blocks = limits.memory_bytes // 1024, limits.file_bytes // 512  # the units of ulimit
    command = ["/bin/sh", "-c", LIMITED, str(kibibytes), str(limits.cpu_seconds), str(blocks), gcc, *FLAGS, "-xc", "-"]
    with (
        tempfile.TemporaryDirectory(prefix="cllm-compile-") as empty,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=empty,
            env={"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": empty},
            start_new_session=True,
        ) as process,
    ):
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
