"""Lock for a single writer: an flock on a file that records its holder.

The kernel releases the lock when its holder ends, for whatever reason, so a file left behind has no effect. Programs
that the holder starts do not inherit the descriptor, and forked children close it, so a surviving child does not keep
the lock. Not supported: waiting for the lock, and file systems without locks.
"""

import contextlib
import fcntl
import json
import os
import shlex
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cllm.errors import WorkspaceError

# A new holder writes its record some microseconds after it gets the lock, and `holder` takes a shared lock for as long.
# So a failed attempt to lock, or a record of a process that has ended, is tried again up to this number of times.
ATTEMPTS = 5
RETRY_SECONDS = 0.02
RECORD_BYTES = 65536

_held_descriptors: set[int] = set()  # descriptors of the locks of this process


def _close_inherited_locks() -> None:
    while _held_descriptors:
        os.close(_held_descriptors.pop())


os.register_at_fork(after_in_child=_close_inherited_locks)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a lock: process ID, command line, and start in UTC (ISO 8601)."""

    pid: int
    command: str
    since: str


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, created if missing in an existing directory; WorkspaceError names its holder."""
    descriptor = _open(path, os.O_RDWR | os.O_CREAT)
    _held_descriptors.add(descriptor)
    try:
        if not _try_lock(descriptor, path, fcntl.LOCK_EX, ATTEMPTS):
            found = _read_holder(descriptor, path)
            raise WorkspaceError(
                f"{path.parent} is in use by process {found.pid} ({found.command}, since {found.since}): "
                f"wait until it ends, or end it with `kill {found.pid}`"
            )
        if not _is_same_file(descriptor, path):
            raise WorkspaceError(f"{path} was removed by another process: try again")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = asdict(Holder(pid=os.getpid(), command=shlex.join(sys.argv), since=now))
        os.ftruncate(descriptor, os.pwrite(descriptor, json.dumps(record).encode(), 0))
        yield
    finally:
        if descriptor in _held_descriptors:  # a forked child that gets here has closed it
            _held_descriptors.remove(descriptor)
            os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """The present holder of the lock file `path`, or None; the query does not block a process that takes the lock."""
    if not path.exists():
        return None
    descriptor = _open(path, os.O_RDONLY)
    try:
        return None if _try_lock(descriptor, path, fcntl.LOCK_SH, 1) else _read_holder(descriptor, path)
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK  # a link can lead out of the folder, opening a FIFO would block
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be opened as a lock file: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise WorkspaceError(f"{path} is not a plain file and cannot be a lock: remove it")
    return descriptor


def _try_lock(descriptor: int, path: Path, kind: int, attempts: int) -> bool:
    """Try to lock, up to `attempts` times; whether it succeeded."""
    for attempt in range(attempts):
        if attempt:
            time.sleep(RETRY_SECONDS)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            continue
        except OSError as error:
            raise WorkspaceError(f"{path} cannot be locked on this file system: {error.strerror}") from None
    return False


def _is_same_file(descriptor: int, path: Path) -> bool:
    """Whether `path` still names the open file; a lock on a file that was removed is void."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int, path: Path) -> Holder:
    """The record in a locked file; one of a process that has ended is about to be replaced, and is read again."""
    found = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(RETRY_SECONDS)
        with contextlib.suppress(ValueError, TypeError):
            found = Holder(**json.loads(os.pread(descriptor, RECORD_BYTES, 0)))
            if _is_alive(found.pid):
                return found
    if found is None:
        raise WorkspaceError(f"{path} is locked by a process that has not written its process ID into it")
    return found  # alive, but not visible from this container


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
