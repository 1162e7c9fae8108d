"""Files that survive a crash: written whole or not at all, and checked when read.

A single file is written beside its target, synced, and renamed over it. A directory of files is written the same way
and carries a `MANIFEST.json` with the size and SHA-256 of each of its files; it is written last, so a directory
without one was never finished. Nothing here knows what the files mean, and nothing is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cllm.errors import ArtifactError

MANIFEST = "MANIFEST.json"
SCHEMA_VERSION = 1


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable (a rename is durable only once its directory is)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """A file beside `path`, to write and to look at, which takes its name when the block ends, and goes if it fails.

    `durable` also waits until a power cut cannot take it back.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
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


def write_file(path: Path, content: bytes, durable: bool = True) -> None:
    """Write `content` to `path` atomically; `durable` as in `atomic_file`."""
    with atomic_file(path, durable) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Write `value` as readable JSON, atomically. Not-a-number and infinity are refused: they are not JSON."""
    write_file(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode(), durable)


def read_json(path: Path) -> Any:
    """The JSON value in `path`; ArtifactError names a file that is missing or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; ArtifactError also for JSON of another kind."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds {type(value).__name__} where an object was expected")
    return value


def write_directory(path: Path, fill: Callable[[Path], None], **metadata: Any) -> None:
    """Write a directory atomically: `fill` puts files into a temporary one, which then takes the name `path`.

    A directory already there is replaced. `metadata` (JSON values) goes into the manifest.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        files = {}
        for file in sorted(temporary.iterdir()):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            files[file.name] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
        write_json(temporary / MANIFEST, {"schema_version": SCHEMA_VERSION, "files": files, **metadata})
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


def verify_directory(path: Path, *required: str) -> dict[str, Any]:
    """The manifest of a directory written by `write_directory`, after checking every file against it.

    ArtifactError names what is missing, altered, of another version, or `required` and not in the manifest.
    """
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{path / MANIFEST} is not a manifest")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {manifest.get('schema_version')}, this program reads {SCHEMA_VERSION}: "
            "use the version of CLLM that wrote it, or learn again with --fresh"
        )
    if missing := set(required) - manifest["files"].keys():
        raise ArtifactError(f"{path / MANIFEST} does not list {min(missing)}")
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise ArtifactError(f"{file} is missing")
        if (found := file.stat().st_size) != expected["bytes"]:
            raise ArtifactError(f"{file} has {found} bytes, its manifest says {expected['bytes']}")
        if sha256_of(file) != expected["sha256"]:
            raise ArtifactError(f"{file} was altered: its SHA-256 is not the one in its manifest")
    return manifest


def remove_leftovers(directory: Path) -> None:
    """Remove what an interrupted write left behind in `directory`."""
    for path in directory.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for path in directory.glob(".old-*"):
        target = path.with_name(path.name.split("-", 2)[2])
        if target.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.rename(target)
