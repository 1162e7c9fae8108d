"""Damaged workspace files and invalid configurations end in a one-line error, never in a traceback."""

import json
import shutil
from pathlib import Path

import pytest
from commandline import Cllm

from cllm.commands.main import main

COMMANDS = (
    ("complete", "int", "--max-tokens", "2"),
    ("eval",),
    ("info",),
    ("split", "--export", "out"),
    ("train", "--steps", "1"),
)
DAMAGES = ("garbage", "truncated", "gone", "list", "object", "directory")
RECOVERY_HINTS = ("--fresh", "resumes it")
FILES = (
    "current.json",
    "runs/0001/corpus/text.bin",
    "runs/0001/corpus/MANIFEST.json",
    "runs/0001/model/weights.safetensors",
    "runs/0001/model/tokenizer.json",
    "runs/0001/model/MANIFEST.json",
    "runs/0001/memory/slots.bin",
    "runs/0001/memory/runs.bin",
    "runs/0001/memory/MANIFEST.json",
    "runs/0001/update/MANIFEST.json",
    "runs/0001/scorecard.json",
    "runs/0001/plan.json",
    "runs/0001/status.json",
    "runs/0001/training.json",
)


@pytest.fixture
def trained_copy(trained: Cllm, tmp_path: Path) -> Cllm:
    """A copy of the trained repository that the test may damage."""
    shutil.copytree(trained.repository, tmp_path / "copy")
    return Cllm(tmp_path / "copy", trained.config)


def damage_file(path: Path, damage: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    elif damage != "gone":
        third = content[: len(content) // 3]
        path.write_bytes({"garbage": b"\xff\x00garbage", "truncated": third, "list": b"[3]", "object": b"{}"}[damage])


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_damaged_file_gives_a_one_line_error_with_a_recovery_hint(
    trained_copy: Cllm, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Commands run in this process, so that PyTorch is imported once and not for each of them.
    monkeypatch.chdir(trained_copy.repository)
    path = trained_copy.repository / ".cllm" / name
    content = path.read_bytes()
    for damage in DAMAGES:
        damage_file(path, damage)
        for command in COMMANDS:
            shutil.rmtree("out", ignore_errors=True)
            if command[0] == "eval" and damage not in ("gone", "list"):
                continue  # `eval` starts processes, which takes seconds
            code = main(list(command))
            stderr = capsys.readouterr().err
            assert code in (0, 1), (damage, command, stderr)
            if code == 1:
                last = stderr.splitlines()[-1]
                assert last.startswith("cllm: ") and any(hint in last for hint in RECOVERY_HINTS), (
                    damage,
                    command,
                    stderr,
                )
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["current.json", "runs/0001/model/weights.safetensors"])
def test_train_fresh_repairs_a_damaged_workspace(trained_copy: Cllm, name: str) -> None:
    damage_file(trained_copy.repository / ".cllm" / name, "garbage")
    assert trained_copy.train("--steps", "1", "--workers", "1").returncode == 1
    assert trained_copy.train("--steps", "1", "--workers", "1", "--fresh").returncode == 0
    assert trained_copy("complete", "int", "--max-tokens", "2").returncode == 0


def test_eval_recreates_a_missing_scorecard(trained_copy: Cllm) -> None:
    path = trained_copy.repository / ".cllm" / "runs" / "0001" / "scorecard.json"
    before = json.loads(path.read_text())
    path.unlink()
    assert trained_copy("eval").returncode == 0
    after = json.loads(path.read_text())
    assert after["bits_per_byte"] == before["bits_per_byte"] and after["train"] == before["train"]


def test_altered_scorecard_is_refused_until_eval_makes_a_new_one(trained_copy: Cllm) -> None:
    path = trained_copy.repository / ".cllm" / "runs" / "0001" / "scorecard.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "bits_per_byte": {**card["bits_per_byte"], "mixed": 0.1}}))
    done = trained_copy("info")
    assert done.returncode == 1 and "was altered" in done.stderr and "cllm eval" in done.stderr
    assert trained_copy("eval").returncode == 0
    assert trained_copy("info").returncode == 0


INVALID_CONFIGS = (
    "[model]\nn_layer = 0\n",
    "[model]\nn_embd = -4\n",
    "[model]\nhead_dim = 7\n",
    "[model]\nnorm_eps = -1.0\n",
    "[model]\ncontext_length = 8\n",
    '[optimizer]\nbetas = ["a", "b"]\n',
    "[tokenizer]\nvocab_size = 10\n",
    "[tokenizer]\nvocab_size = -1\n",
    '[tokenizer]\nvocab_size = "many"\n',
    "[training]\ndropout = 2.0\n",
    "[training]\nfim_rate = -0.5\n",
    '[engine]\ndtype = "float64"\n',
    "[training]\nwarmup = 3.0\n",
    "[optimizer]\nbetas = [0.9]\n",
    "[optimizer]\nbetas = [2.0, 3.0]\n",
    "[optimizer]\nlr = -1.0\n",
    "[run]\ncheckpoint_seconds = -1.0\n",
    "[corpus]\nmax_files = 0\n",
)


@pytest.mark.parametrize("toml", INVALID_CONFIGS)
def test_invalid_config_value_gives_a_one_line_error_naming_the_key(cllm: Cllm, toml: str) -> None:
    cllm.config.write_text(toml)
    done = cllm.train("--steps", "1", "--workers", "1")
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("cllm: ") and toml.split("\n")[1].split(" ")[0] in last
