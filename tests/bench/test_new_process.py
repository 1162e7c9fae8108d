"""The seconds of a command in a new process."""

from pathlib import Path

import pytest
from commandline import Cllm

from cllm.bench.complete.new_process import drop_from_page_cache, seconds_of_command
from cllm.errors import UsageError


def test_seconds_of_a_completion_in_a_new_process(trained: Cllm) -> None:
    drop_from_page_cache(trained.repository / ".cllm")
    assert 0 < seconds_of_command(trained.repository, b"int read_") < 600


def test_a_failure_is_told_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cllm train"):
        seconds_of_command(tmp_path, b"int read_")
