"""Learned and unlearned repositories for the tests of commands."""

import os
import signal
from pathlib import Path

# Tests run two at a time: with two threads each, PyTorch's wait for one another (a test of 1 s once took 181 s).
os.environ["OMP_NUM_THREADS"] = "1"

import numba
import pytest
from commandline import Cllm, make_cllm
from hypothesis import settings

# In this process an index outside of its array is an error; the commands that tests start run as they do for a user.
numba.core.config.BOUNDSCHECK = 1

# A shell's background job ignores Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow: how long an example takes says nothing of what it shows.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def cllm(tmp_path: Path) -> Cllm:
    """A repository that nothing was learned of yet."""
    return make_cllm(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Cllm:
    """A learned repository; tests only read it."""
    cllm = make_cllm(tmp_path_factory.mktemp("learned"))
    done = cllm.train("--steps", "60", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    return cllm
