"""Fixtures shared by all tests: a repository without a model and a trained one."""

import os
import signal
from pathlib import Path

# Two tests run in parallel. With two threads each, PyTorch's threads oversubscribe the cores (1 s became 181 s).
os.environ["OMP_NUM_THREADS"] = "1"

import numba
import pytest
from commandline import Cllm, make_cllm
from hypothesis import settings

# Numba checks array bounds in this process; the commands that tests start use the default settings.
numba.core.config.BOUNDSCHECK = 1

# Background jobs of a shell inherit an ignored SIGINT; restore it, since tests interrupt the commands they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a loaded machine the time of an example has no meaning, so Hypothesis deadlines are off.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def cllm(tmp_path: Path) -> Cllm:
    """A repository without a trained model."""
    return make_cllm(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Cllm:
    """A trained repository, shared by the session; tests must not modify it."""
    cllm = make_cllm(tmp_path_factory.mktemp("trained"))
    done = cllm.train("--steps", "60", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    return cllm


@pytest.fixture
def own_git_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder in which git has no configuration but the test's own."""
    for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_DIR", "GIT_CEILING_DIRECTORIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"
