"""Whatever is damaged in a workspace, every command ends in one sentence or does its work; none in a traceback."""

import shutil
from pathlib import Path

import pytest
from commandline import Cllm

COMMANDS = (("complete", "int", "--max-tokens", "2"), ("eval",), ("info",), ("split", "--export", "out"), ("train",))
FILES = (
    "current.json",
    "runs/0001/corpus/text.bin",
    "runs/0001/corpus/MANIFEST.json",
    "runs/0001/model/weights.safetensors",
    "runs/0001/model/tokenizer.json",
    "runs/0001/model/MANIFEST.json",
    "runs/0001/scorecard.json",
    "runs/0001/plan.json",
    "runs/0001/status.json",
    "runs/0001/training.json",
)


@pytest.fixture
def copy(learned: Cllm, tmp_path: Path) -> Cllm:
    """A learned repository that may be damaged."""
    shutil.copytree(learned.repository, tmp_path / "copy")
    return Cllm(tmp_path / "copy", learned.config)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["garbage", "truncated", "gone", "json"])
def test_a_damaged_workspace_is_one_sentence(copy: Cllm, name: str, harm: str) -> None:
    path = copy.repository / ".cllm" / name
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"garbage": b"\xff\x00garbage", "truncated": content[: len(content) // 3], "json": b"[3]"}[harm]
        )
    for command in COMMANDS:
        shutil.rmtree(copy.repository / "out", ignore_errors=True)
        done = copy(*command) if command[0] != "train" else copy.train("--steps", "1", "--workers", "1")
        assert done.returncode in (0, 1), (command, done.stderr)
        assert "Traceback" not in done.stderr, (command, done.stderr)
        if done.returncode == 1:
            last = done.stderr.splitlines()[-1]
            assert last.startswith("cllm: ") and ("/.cllm" in last or "cllm train" in last), (command, done.stderr)
    # The way out always works.
    assert copy("clean").returncode == 0


EDGES = (
    "[model]\nn_layer = 0\n",
    "[model]\nn_embd = -4\n",
    "[model]\nhead_dim = 7\n",
    "[model]\nnorm_eps = -1.0\n",
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


@pytest.mark.parametrize("toml", EDGES)
def test_a_value_that_makes_no_sense_is_one_sentence(cllm: Cllm, toml: str) -> None:
    cllm.config.write_text(toml)
    done = cllm.train("--steps", "1", "--workers", "1")
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("cllm: ") and toml.split("\n")[1].split(" ")[0] in last
