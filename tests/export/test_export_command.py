"""`cllm export`: results, errors, cleanup after failures, and no access to the network."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import Cllm, wait_for

from cllm.artifacts import sha256_of, verify_directory
from cllm.commands.export import export_table
from cllm.errors import CllmError, ExportError, UsageError
from cllm.export import gguf, verify
from cllm.export.runtimes import Runtime
from cllm.export.tensor_names import BLOCK_NAMES
from cllm.operations.export import export_gguf, export_huggingface
from cllm.progress import PlainReporter


class SilentReporter(PlainReporter):
    """A reporter that prints nothing."""

    def __init__(self) -> None:
        pass

    def start_phase(self, name: str) -> None:
        pass


def file_stats(repository: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of every file of a repository and its workspace."""
    found = {}
    for path in sorted(repository.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def test_export_huggingface_writes_a_verified_folder(trained: Cllm, tmp_path: Path) -> None:
    before = file_stats(trained.repository)
    done = trained("export", "huggingface", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    bits = trained.scorecard()["bits_per_byte"]
    for text in (
        "transformers  ids equal, logits within",
        "(transformers 5.24.0)",
        "the memory and the guide, for which the format has no place",
        f"costs {bits['model'] - bits['mixed']:.4f} bits per byte on held-out files: {bits['model']:.4f} for",
        f"{bits['mixed']:.4f} with the memory (scorecard of run 0001)",
        trained.scorecard()["weights_sha256"][:16],
    ):
        assert text in done.stdout, done.stdout
    manifest = verify_directory(tmp_path / "model", "config.json", "model.safetensors", "tokenizer.json")
    assert manifest["weights_sha256"] == trained.scorecard()["weights_sha256"]
    assert file_stats(trained.repository) == before


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_export_gguf_writes_a_verified_file(trained: Cllm, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    done = trained(
        "export", "gguf", "model.gguf", "--type", kind, "-C", str(trained.repository), "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["path"] == str(path) and found["type"] == kind
    assert found["bytes"] == path.stat().st_size and found["sha256"] == sha256_of(path)
    assert (
        found["runtime"]["package"] == "xllamacpp"
        and found["runtime"]["max_difference"] <= found["runtime"]["tolerance"]
    )
    assert found["bits_per_byte"]["model"] == trained.scorecard()["bits_per_byte"]["model"]
    assert gguf.read(path)[0]["cllm.weights_sha256"] == found["weights_sha256"]
    table = export_table(found)
    assert ("quantization" in table) is (kind != "f32") and found["sha256"] in table


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("export",), 2, "required"),
        (("export", "onnx", "x"), 2, "onnx"),
        (("export", "gguf"), 2, "FILE"),
        (("export", "gguf", "new", "--type", "q4_0"), 2, "q4_0"),
        (("export", "gguf", "there"), 2, "there already exists: give a new name"),
        (("export", "huggingface", "folder"), 2, "folder already exists"),
        (("export", "huggingface", "."), 2, ". already exists"),
        (("export", "huggingface", "dangling"), 2, "dangling already exists"),
        (("export", "gguf", "no/where/new"), 2, "there is no folder"),
        (("export", "gguf", "there/new"), 2, "there is no folder"),
        (("export", "gguf", "/proc/new.gguf"), 1, "/proc/new.gguf cannot be written: "),
        (("export", "huggingface", "/proc/new"), 1, "/proc/new cannot be written: "),
        (("export", "gguf", "n" * 250), 1, "cannot be written: File name too long"),
    ],
)
def test_invalid_arguments_give_a_one_line_error(
    trained: Cllm, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "there").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    done = trained(*arguments, *(("-C", str(trained.repository)) if len(arguments) > 2 else ()), cwd=tmp_path)
    assert done.returncode == code
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert line.startswith("cllm: ") and message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "folder", "there"]
    assert (tmp_path / "there").read_text() == "mine"


def test_export_without_a_model_is_an_error(cllm: Cllm, tmp_path: Path) -> None:
    done = cllm("export", "gguf", str(tmp_path / "model.gguf"))
    assert done.returncode == 1 and "there is no model of" in done.stderr
    assert not (tmp_path / "model.gguf").exists()


@pytest.mark.parametrize("kind", ["gguf", "huggingface"])
def test_full_disk_leaves_no_files(trained: Cllm, tmp_path: Path, kind: str) -> None:
    process = trained.popen(
        *("export", kind, str(tmp_path / "model")),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"cllm: {tmp_path / 'model'} cannot be written: File too large" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["gguf", "huggingface"])
def test_interrupt_leaves_no_files(trained: Cllm, tmp_path: Path, kind: str) -> None:
    process = trained.popen("export", kind, str(tmp_path / "model"))
    wait_for(lambda: any(tmp_path.glob(".tmp-*")), "the first byte")  # the comparison, which takes seconds, follows
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "interrupted" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def repository(trained: Cllm, tmp_path: Path) -> Path:
    """A copy of the trained repository that the test may damage."""
    shutil.copytree(trained.repository, tmp_path / "copy")
    return tmp_path / "copy"


def export_both(repository: Path, folder: Path) -> list[dict[str, Any]]:
    """Export in both formats, in this process."""
    return [
        export_huggingface(repository, folder / "model", SilentReporter()),
        export_gguf(repository, folder / "model.gguf", "f32", SilentReporter()),
    ]


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "tokenizer.json", "MANIFEST.json"])
def test_damaged_model_raises_an_error_naming_the_file(repository: Path, tmp_path: Path, name: str) -> None:
    damaged = repository / ".cllm" / "runs" / "0001" / "model" / name
    content = damaged.read_bytes()
    altered = content[:-9] + b"X" + content[-8:] if name != "MANIFEST.json" else b"{}"
    for changed in (content[: len(content) // 2], altered, None):
        damaged.unlink() if changed is None else damaged.write_bytes(changed)
        with pytest.raises(CllmError, match=name):
            export_gguf(repository, tmp_path / "model.gguf", "f32", SilentReporter())
        assert not list(tmp_path.glob("*.gguf"))


def test_missing_runtime_is_reported_as_not_compared(
    trained: Cllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runtime, "is_installed", False)
    for found, package in zip(export_both(trained.repository, tmp_path), ("transformers", "xllamacpp"), strict=True):
        assert f"were not compared: {package} is not installed; pip install 'cllm[export]'" in export_table(found)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model.gguf"}


def test_missing_scorecard_is_reported(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runtime, "is_installed", False)
    (repository / ".cllm" / "runs" / "0001" / "scorecard.json").unlink()
    for found in export_both(repository, tmp_path):
        assert "run 0001 has no scorecard with its cost" in export_table(found)


def test_failed_comparison_leaves_no_files(trained: Cllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys, values = BLOCK_NAMES["attention.qkv"]
    monkeypatch.setitem(BLOCK_NAMES, "attention.qkv", [queries, values, keys])
    with pytest.raises(ExportError, match="transformers computes other logits"):
        export_huggingface(trained.repository, tmp_path / "model", SilentReporter())
    with pytest.raises(ExportError, match="llama.cpp computes other log-probabilities"):
        export_gguf(trained.repository, tmp_path / "model.gguf", "f32", SilentReporter())
    assert list(tmp_path.iterdir()) == []


def test_failed_read_back_leaves_no_files(trained: Cllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = gguf.read

    def corrupt_read(path: Path) -> Any:
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
        return read(path)

    monkeypatch.setattr(verify.gguf, "read", corrupt_read)
    with pytest.raises(ExportError, match="did not read back as written"):
        export_gguf(trained.repository, tmp_path / "model.gguf", "f32", SilentReporter())
    assert list(tmp_path.iterdir()) == []


def test_existing_path_raises_usage_error(trained: Cllm, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(UsageError, match="already exists"):
        export_gguf(trained.repository, tmp_path / "model.gguf", "f32", SilentReporter())


def test_modules_in_the_current_directory_are_not_imported(trained: Cllm, tmp_path: Path) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    for name in ("transformers", "xllamacpp", "safetensors", "numpy"):
        (directory / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\n")
    arguments = ("export", "gguf", str(tmp_path / "model.gguf"), "-C", str(trained.repository))
    done = trained(*arguments, cwd=directory, environment={"PYTHONSAFEPATH": "1"})
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["huggingface", "gguf"])
def test_export_needs_no_network(trained: Cllm, tmp_path: Path, kind: str) -> None:
    without_network = ["unshare", "--map-root-user", "--net"]  # not even the loopback interface is up
    if not shutil.which("unshare") or subprocess.run([*without_network, "true"], capture_output=True).returncode:
        pytest.skip("needs permission to create a network namespace")
    command = [*without_network, sys.executable, "-m", "cllm", "export", kind, str(tmp_path / "model")]
    done = subprocess.run(command, cwd=trained.repository, capture_output=True, text=True)
    assert done.returncode == 0 and "ids equal" in done.stdout, done.stderr
