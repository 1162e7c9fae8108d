"""Compressors as predictors: the compressed size of a file after the training files.

The bits of a file are 8 (bytes of training files + file) - 8 (bytes of training files), both compressed. Each
compressor uses its strongest level, and a window or memory that holds all of the input where that can be set (gzip
has a window of 32 KB).
"""

import gzip
import importlib
import importlib.util
import lzma
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cllm.errors import UsageError

SizeFunction = Callable[[bytes], int]

PPMD_ORDER = 16
PPMD_MEMORY = 1 << 29
ZSTD_LEVEL, ZSTD_WINDOW_LOG = 19, 27
EXTERNAL_SECONDS = 600.0
COMPRESSORS = ("gzip", "xz", "zstd", "ppmd")
COMPRESSOR_PACKAGES = {"zstd": "zstandard", "ppmd": "pyppmd"}  # installed by the extra `baselines`


def size_function(name: str) -> SizeFunction:
    """Return a function from bytes to their compressed size; `NAME COMMAND {in} {out}` is an external compressor."""
    if name == "gzip":
        return lambda data: len(gzip.compress(data, 9))
    if name == "xz":
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 28}]
        return lambda data: len(lzma.compress(data, filters=filters))
    if name == "zstd":
        zstandard = _package("zstd")
        level = zstandard.ZstdCompressionParameters.from_level(ZSTD_LEVEL, window_log=ZSTD_WINDOW_LOG)
        return lambda data: len(zstandard.ZstdCompressor(compression_params=level).compress(data))
    if name == "ppmd":
        pyppmd = _package("ppmd")
        return lambda data: len(pyppmd.compress(data, max_order=PPMD_ORDER, mem_size=PPMD_MEMORY, variant="I"))
    command = parse_external(name)[1]
    return lambda data: external_size(command, data)


def is_installed(name: str) -> bool:
    """Return whether a compressor's package is installed."""
    return name not in COMPRESSOR_PACKAGES or importlib.util.find_spec(COMPRESSOR_PACKAGES[name]) is not None


def parse_external(text: str) -> tuple[str, str]:
    """Split `NAME COMMAND {in} {out}` into name and command. Raises UsageError if `text` has another form."""
    name, _, command = text.partition(" ")
    if not name or "{in}" not in command or "{out}" not in command:
        raise UsageError(f"--compressor {text!r} is not 'NAME COMMAND {{in}} {{out}}'")
    return name, command


def external_size(command: str, data: bytes) -> int:
    """Return the size in bytes of the user's command's output for `data`.

    Raises UsageError if the command cannot be run, fails or takes longer than 600 s.
    """
    with tempfile.TemporaryDirectory(prefix="cllm-compress-") as folder:
        paths = {"{in}": str(Path(folder, "in")), "{out}": str(Path(folder, "out"))}
        Path(paths["{in}"]).write_bytes(data)
        command_line = [paths.get(word, word) for word in shlex.split(command)]
        try:
            done = subprocess.run(command_line, cwd=folder, capture_output=True, timeout=EXTERNAL_SECONDS, check=False)
            if done.returncode == 0:
                return Path(paths["{out}"]).stat().st_size
            reason = f"ended with exit code {done.returncode}"
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
    raise UsageError(f"--compressor: {command_line[0]} {reason}")


def _package(name: str) -> Any:
    return importlib.import_module(COMPRESSOR_PACKAGES[name])
