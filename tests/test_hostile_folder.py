"""`python -m cllm` in a folder with modules named like those of Python and of the dependencies executes none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIST_MODULES = "print(*sorted({name.split('.')[0] for name in sys.modules}))"
IMPORTS_OF_COMPLETE = "import sys, cllm.commands.main, cllm.generation.predict.prompt, cllm.operations.complete; "
MARK = 'import os\nos.close(os.open({marker!r}, os.O_CREAT))\nraise SystemExit("{name} was executed")\n'


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def modules(folder: Path, program: str) -> set[str]:
    done = run(folder, "-P", "-c", program + LIST_MODULES)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def write_module(folder: Path, name: str, marker: Path) -> None:
    (folder / f"{name}.py").write_text(MARK.format(marker=str(marker), name=name))


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a module for every module that `cllm complete` imports, and the file that each of them writes."""
    folder, marker = tmp_path / "repository", tmp_path / "executed"
    folder.mkdir()
    of_python = modules(folder, "import runpy, sys; ")  # imported by `python -m` itself, before any package
    imported = modules(folder, IMPORTS_OF_COMPLETE) - of_python - {"cllm"}
    assert {"typing", "json", "argparse", "pathlib", "numpy", "numba", "tokenizers"} <= imported
    for name in imported | {"rich", "rensa", "torch", "tree_sitter_c", "sitecustomize", "usercustomize"}:
        write_module(folder, name, marker)
    return folder, marker


def test_no_module_of_the_folder_is_executed(hostile: tuple[Path, Path]) -> None:
    folder, marker = hostile
    for arguments in (("info",), ("complete", "def "), ("--help",)):
        done = run(folder, "-m", "cllm", *arguments)
        assert not marker.exists(), (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.returncode == (1 if arguments[0] == "complete" else 0), done.stderr
    assert "there is no model" in run(folder, "-m", "cllm", "complete", "def ").stderr
    assert run(folder, "-mcllm", "--version").stdout.startswith("cllm ")
    assert not marker.exists()


def test_with_safe_path_not_even_modules_of_python_itself_are_executed(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    for name in modules(tmp_path, "import runpy, sys; ") - {"sys"}:
        write_module(tmp_path / "repository", name, tmp_path / "executed")
    done = run(tmp_path / "repository", "-P", "-m", "cllm", "--version")
    assert done.returncode == 0 and not (tmp_path / "executed").exists()


def test_path_of_a_program_that_imports_cllm_is_unchanged(tmp_path: Path) -> None:
    program = "import sys; before = list(sys.path); import cllm; print(before == sys.path)"
    assert run(tmp_path, "-c", program, "-m", "cllm").stdout == "True\n"
    (tmp_path / "program.py").write_text(program)
    assert run(tmp_path, "program.py").stdout == "True\n"
    assert run(tmp_path, "-m", "program", "cllm").stdout == "True\n"
