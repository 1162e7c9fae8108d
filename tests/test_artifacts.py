"""Atomic writes, manifests and JSON of artifact directories."""

import contextlib
import json
import os
from pathlib import Path

import pytest

from cllm.artifacts import (
    MANIFEST,
    atomic_file,
    read_json,
    remove_leftovers,
    verify_directory,
    write_directory,
    write_file,
    write_json,
)
from cllm.errors import ArtifactError, WorkspaceError


def fill(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"alpha")
    (folder / "b.bin").write_bytes(b"beta" * 1000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_directory(tmp_path / "made", fill, kind="test")
    return tmp_path / "made"


def test_written_directory_verifies_and_keeps_its_metadata(directory: Path) -> None:
    manifest = verify_directory(directory)
    assert manifest["kind"] == "test" and set(manifest["files"]) == {"a.bin", "b.bin"}


@pytest.mark.parametrize("name", ["a.bin", "b.bin"])
@pytest.mark.parametrize("damage", ["remove", "truncate", "alter", "lengthen"])
def test_damaged_file_raises_an_error_naming_it(directory: Path, name: str, damage: str) -> None:
    path = directory / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes({"truncate": content[:-1], "alter": b"x" + content[1:], "lengthen": content + b"\0"}[damage])
    with pytest.raises(ArtifactError, match=name):
        verify_directory(directory)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"files": 3}', '{"schema_version": 99, "files": {}}', "{"])
def test_invalid_manifest_is_rejected(directory: Path, text: str) -> None:
    (directory / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match="made"):
        verify_directory(directory)


def test_failed_write_keeps_the_old_directory(directory: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"h")
        raise OSError(28, "No space left on device")

    with pytest.raises(WorkspaceError, match=f"{directory} cannot be written .No space .*free some space"):
        write_directory(directory, fail)
    assert verify_directory(directory)["kind"] == "test"
    assert [path.name for path in directory.parent.iterdir()] == ["made"]


@pytest.mark.parametrize(
    "error",
    [
        OSError("1000 requested and 10 written"),
        OSError("Not enough free space to write 1000 bytes after offset 0"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disk_is_recognised_as_numpy_and_safetensors_report_it(directory: Path, error: Exception) -> None:
    def fail(folder: Path) -> None:
        raise error

    with pytest.raises(WorkspaceError, match="No space"):
        write_directory(directory, fail)


def test_other_errors_of_the_writer_are_raised_as_they_are(directory: Path) -> None:
    def fail(folder: Path) -> None:
        raise FileNotFoundError(2, "No such file")

    with pytest.raises(FileNotFoundError):
        write_directory(directory, fail)


def test_fifo_instead_of_a_file_is_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "current.json")
    with pytest.raises(ArtifactError, match="is not a regular file"):
        read_json(tmp_path / "current.json")


@pytest.mark.parametrize("call", ["rename", "fsync"])
@pytest.mark.parametrize("nth", range(1, 6))
def test_write_interrupted_at_any_call_leaves_the_old_or_the_new_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    """Interrupt the write at the n-th rename or fsync; the directory then verifies with the old or the new files."""

    class Stopped(BaseException):
        pass

    def new(folder: Path) -> None:
        (folder / "c.bin").write_bytes(b"gamma")

    count = 0
    owner = Path if call == "rename" else os
    original = getattr(owner, call)

    def stopping(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == nth:
            raise Stopped
        return original(*arguments)

    # A killed process does not clean up, so cleaning up is disabled.
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    monkeypatch.setattr(owner, call, stopping)
    with contextlib.suppress(Stopped):
        write_directory(directory, new)
    monkeypatch.undo()
    remove_leftovers(directory.parent)
    assert set(verify_directory(directory)["files"]) in ({"a.bin", "b.bin"}, {"c.bin"})
    assert [path.name for path in directory.parent.iterdir()] == ["made"]


def test_write_file_replaces_the_content_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_file(tmp_path / "f", b"one")
    write_file(tmp_path / "f", b"two", durable=False)
    assert (tmp_path / "f").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_atomic_file_keeps_the_old_content_after_an_error(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with pytest.raises(ValueError), atomic_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path and (tmp_path / "file").read_bytes() == b"old"
        raise ValueError
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_invalid_json_raises_an_error_naming_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    for text in (b"{", b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "x.json").write_bytes(text)
        with pytest.raises(ArtifactError, match="x.json"):
            read_json(tmp_path / "x.json")
    with pytest.raises(ArtifactError, match=r"y\.json is missing"):
        read_json(tmp_path / "y.json")
    write_json(tmp_path / "x.json", [1, 2])
    assert json.loads((tmp_path / "x.json").read_text()) == [1, 2]
