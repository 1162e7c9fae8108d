"""Read a small regular file, or find that there is none."""

import os
import stat
from pathlib import Path


def read_regular_file(path: Path, max_bytes: int, *, follow_links: bool = True) -> bytes | None:
    """The first `max_bytes` of a file; None if it is missing, unreadable or not a regular file."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:  # noqa: PTH123  (a descriptor, not a path)
            return file.read(max_bytes)
    except OSError:
        return None
    finally:
        os.close(descriptor)
