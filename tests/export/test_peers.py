"""What becomes of a program that fails."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from exported import verification_set_of

from cllm.errors import ExportError
from cllm.export import TrainedNetwork, runtimes
from cllm.export.runtimes import LLAMA, TRANSFORMERS, Runtime, run_export


def error_of(trained: TrainedNetwork, tmp_path: Path, program: str) -> str:
    """What is said of one that runs this."""
    (tmp_path / "failing_runtime.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with pytest.raises(ExportError) as error:
        run_export(replace(LLAMA, module="failing_runtime"), tmp_path, verification_set_of(trained), 283, environment)
    return str(error.value)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise ValueError('first\\n  second')", "ValueError: first"),
        ("import sys; print('a\\nb', file=sys.stderr); sys.exit(3)", "b"),
        ("import os; os.kill(os.getpid(), 11)", "it ended with exit code -11"),
        ("raise ValueError('x' * 1000)", "ValueError: " + "x" * 288),
    ],
)
def test_one_that_fails_is_quoted_in_one_line(
    grouped: TrainedNetwork, tmp_path: Path, program: str, message: str
) -> None:
    assert error_of(grouped, tmp_path, program) == f"llama.cpp cannot use the export: {message}"


def test_one_that_does_not_end_is_ended(
    grouped: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "TIMEOUT_SECONDS", 0.5)
    assert "llama.cpp did not finish" in error_of(grouped, tmp_path, "while True: pass")


def test_each_is_told_to_stay_offline_and_sees_nothing_of_the_current_folder(
    grouped: TrainedNetwork, tmp_path: Path
) -> None:
    program = "import os, sys; raise ValueError([os.environ['HF_HUB_OFFLINE'], sys.flags.safe_path, '' in sys.path])"
    assert error_of(grouped, tmp_path, program).endswith("ValueError: ['1', True, False]")


def test_whether_one_is_installed() -> None:
    assert TRANSFORMERS.is_installed and LLAMA.is_installed
    assert not Runtime("none", "no-such-package", "json", "logits").is_installed
