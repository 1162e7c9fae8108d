"""The processes of other runtimes: errors, time limit, isolation, and detection of the packages."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from exported import verification_set_of

from cllm.errors import ExportError
from cllm.export import TrainedNetwork, runtimes
from cllm.export.runtimes import LLAMA, TRANSFORMERS, Runtime, run_export


def error_of(trained: TrainedNetwork, tmp_path: Path, program: str) -> str:
    """The message of the error for a runtime process that runs this program."""
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
def test_error_of_a_failing_runtime_is_quoted_on_one_line(
    grouped: TrainedNetwork, tmp_path: Path, program: str, message: str
) -> None:
    assert error_of(grouped, tmp_path, program) == f"llama.cpp cannot use the export: {message}"


def test_runtime_beyond_the_time_limit_is_ended(
    grouped: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "TIMEOUT_SECONDS", 0.5)
    assert "llama.cpp did not finish" in error_of(grouped, tmp_path, "while True: pass")


def test_runtime_is_offline_and_does_not_import_from_the_current_directory(
    grouped: TrainedNetwork, tmp_path: Path
) -> None:
    program = "import os, sys; raise ValueError([os.environ['HF_HUB_OFFLINE'], sys.flags.safe_path, '' in sys.path])"
    assert error_of(grouped, tmp_path, program).endswith("ValueError: ['1', True, False]")


def test_is_installed_checks_for_the_package() -> None:
    assert TRANSFORMERS.is_installed and LLAMA.is_installed
    assert not Runtime("none", "no-such-package", "json", "logits").is_installed
