"""Seconds that `cllm complete` takes for a line, start of the process included."""

import os
import subprocess
import sys
import time
from pathlib import Path

from cllm.errors import UsageError
from cllm.generation.predict.prompt import LARGE_WINDOW
from cllm.training.launch import worker_environment


def seconds_of_command(root: Path, prefix: bytes) -> float:
    """Complete a line after a prefix in a new process; return its seconds. UsageError if the command fails."""
    command = [sys.executable, "-m", "cllm", "complete", "-C", str(root), "--until", "line"]
    prompt = prefix[-LARGE_WINDOW.prefix_bytes :]
    began = time.perf_counter()
    done = subprocess.run(command, input=prompt, capture_output=True, env=worker_environment())
    seconds = time.perf_counter() - began
    if done.returncode:
        raise UsageError(f"cllm complete failed: {done.stderr.decode(errors='replace').strip()}")
    return seconds


def drop_from_page_cache(folder: Path) -> None:
    """Drop the pages of all files in a folder, so that they are read from the disk again."""
    for file in (path for path in folder.rglob("*") if path.is_file()):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # pages that are not written yet cannot be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
