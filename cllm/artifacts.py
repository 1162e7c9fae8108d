"""Crash-safe files: written atomically, and verified when read.

A single file is written beside its target, synced, and renamed over it. A directory is written the same way, with a
`MANIFEST.json` that has the size and SHA-256 of each file. The manifest is written last, so a directory without one is
incomplete. This module does not depend on the contents of the files, and nothing is ever unpickled.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cllm.errors import ArtifactError, WorkspaceError

MANIFEST = "MANIFEST.json"
HASH_BYTES = 1 << 24  # read at once to be hashed
SCHEMA_VERSION = 2  # of the manifest, and of all files that a directory lists; 2: names of 2026-11-30

# A full disk, a quota, a limit on the size of files, a failing or read-only disk.
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# How NumPy (before and during a write) and safetensors report a full disk, without an error number.
FULL_DISK_TEXTS = ("Not enough free space to write", "requested and", "No space left on device")


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file, read in large chunks: each waits for the GIL if another thread computes in Python."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(min(HASH_BYTES, os.fstat(file.fileno()).st_size + 1)))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Sync a directory (a rename is durable only after its directory is synced)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end of the block, or removed if the block fails.

    `durable`: also sync the file and its directory, so that it survives a power cut.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with _write_errors(path):
        try:
            yield temporary
            if durable:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        if durable:
            sync_directory(path.parent)


@contextlib.contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Context manager that turns a failed write, for want of space above all, into a WorkspaceError."""
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None)
        if number is None and any(text in str(error) for text in FULL_DISK_TEXTS):
            number = errno.ENOSPC
        if number not in WRITE_ERRORS:
            raise
        problem = os.strerror(number)
        raise WorkspaceError(
            f"{path} cannot be written ({problem}): free some space, then run the same command again"
        ) from error


def write_file(path: Path, content: bytes, durable: bool = True) -> None:
    """Write `content` to `path` atomically; `durable` as in `atomic_file`."""
    with atomic_file(path, durable) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Write `value` as indented JSON, atomically. Raises ValueError for NaN and infinity, which are not JSON."""
    write_file(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode(), durable)


def read_json(path: Path) -> Any:
    """The JSON value in `path`; ArtifactError if the file is missing, not a regular file, unreadable or not JSON."""
    try:
        return json.loads(_read_regular_file(path))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}") from None


def _read_regular_file(path: Path) -> bytes:
    """A file's bytes; ArtifactError if it is not a regular file: a FIFO would block."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ArtifactError(f"{path} is not a regular file: remove it, and train again with --fresh")
        return file.read()


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; ArtifactError also if it holds another JSON type."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def write_directory(path: Path, fill: Callable[[Path], None], **metadata: Any) -> None:
    """Write a directory atomically: `fill` writes files into a temporary one, which is then renamed to `path`.

    An existing directory is replaced. `metadata` (JSON values) is added to the manifest.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with _write_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            fill(temporary)
            _write_manifest(temporary, metadata)
            if path.exists():
                old = path.with_name(f".old-{os.getpid()}-{path.name}")
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_directory(path.parent)


def _write_manifest(directory: Path, metadata: dict[str, Any]) -> None:
    """Sync the files of a directory, and list them in its manifest."""
    files = {}
    for file in sorted(directory.iterdir()):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        files[file.name] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
    write_json(directory / MANIFEST, {"schema_version": SCHEMA_VERSION, "files": files, **metadata})


def verify_directory(path: Path, *required: str) -> dict[str, Any]:
    """Check every file of a directory written by `write_directory` against its manifest, and return the manifest.

    ArtifactError if a file is missing or altered, the schema version differs, or a `required` file is not listed.
    """
    with verified_meanwhile(path, *required) as manifest:
        return manifest


@contextlib.contextmanager
def verified_meanwhile(path: Path, *required: str) -> Iterator[dict[str, Any]]:
    """Context manager: as `verify_directory`, but the files' hashes are checked while its body reads them.

    What the body computes counts only after the context's end. If it fails on an altered file, that is the error.
    """
    manifest = _read_manifest(path, *required)
    with ThreadPoolExecutor(1) as thread:
        verification = thread.submit(_check_hashes, path, manifest)
        try:
            yield manifest
        finally:
            verification.result()


def _read_manifest(path: Path, *required: str) -> dict[str, Any]:
    """The manifest of a directory, whose files are there and have their sizes."""
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{path / MANIFEST} is not a manifest")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {manifest.get('schema_version')}, expected {SCHEMA_VERSION}: "
            "use the version of CLLM that wrote it, or train again with --fresh"
        )
    if missing := set(required) - manifest["files"].keys():
        raise ArtifactError(f"{path / MANIFEST} does not list {min(missing)}")
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise ArtifactError(f"{file} is missing")
        if (found := file.stat().st_size) != expected["bytes"]:
            raise ArtifactError(f"{file} has {found} bytes, expected {expected['bytes']} by its manifest")
    return manifest


def _check_hashes(path: Path, manifest: dict[str, Any]) -> None:
    for name, expected in manifest["files"].items():
        if sha256_of(path / name) != expected["sha256"]:
            raise ArtifactError(f"{path / name} was altered: its SHA-256 differs from its manifest's")


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of interrupted writes in `directory`, and restore a target that was being replaced."""
    for path in directory.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for path in directory.glob(".old-*"):
        target = path.with_name(path.name.split("-", 2)[2])
        if target.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.rename(target)
