"""The history of a run in SQLite: order, bounded size, and unreadable or unwritable files."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cllm.stages.history import MAX_SAMPLES, History, read_history

RUN = {"step": 3, "loss": 2.5, "gradient_norm": 0.5, "tokens_per_second": 1000.0}


def sample() -> dict[str, Any]:
    fields = {"rank": 0, "pid": 7, "num_micro_batches": 6, "tokens_per_second": 10.0}
    return {
        "control": {"pid": 1, "cpu_share": 0.02},
        "workers": [{**fields, "compute_share": 0.9, "reduce_share": 0.05, "memory_bytes": 5}],
    }


def test_samples_are_read_in_order_and_appended_by_a_second_command(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    for begin in (0, 3):
        with History(path) as history:
            for second in range(begin, begin + 3):
                history.add(float(second), RUN, sample())
    found = read_history(path)
    assert [row["seconds"] for row in found] == [0, 1, 2, 3, 4, 5]
    assert found[0]["loss"] == 2.5 and found[0]["control_cpu_share"] == 0.02
    (rows,) = sqlite3.connect(path).execute("SELECT COUNT(*) FROM workers").fetchone()
    assert rows == 6


def test_history_is_bounded_and_covers_the_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with History(path) as history:
        for second in range(3 * MAX_SAMPLES):
            history.add(float(second), RUN, sample())
    found = [row["seconds"] for row in read_history(path)]
    assert MAX_SAMPLES // 2 <= len(found) <= MAX_SAMPLES
    assert found == sorted(found) and found[0] < 8 and found[-1] == 3 * MAX_SAMPLES - 1
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_unreadable_history_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(content)
    assert read_history(path) == []
    with History(path) as history:
        history.add(1.0, RUN, sample())
    assert len(read_history(path)) == 1


def test_failed_write_is_rolled_back_and_ignored(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with History(path) as history:
        history.add(1.0, RUN, sample())
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE workers")
        history.add(2.0, RUN, sample())
    assert [row["seconds"] for row in read_history(path)] == [1.0], "a sample is written completely or not at all"


def test_missing_history_is_empty(tmp_path: Path) -> None:
    assert read_history(tmp_path / "history.sqlite") == []
