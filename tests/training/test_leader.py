import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cllm.spheres.telemetry import SUMMED_KEYS
from cllm.stages.history import History
from cllm.training.leader import telemetry_rows


def sample() -> Any:
    worker = {"rank": 0, "pid": 7, **dict.fromkeys(SUMMED_KEYS, 1), "compute_share": 0.5, "reduce_share": 0.25}
    return {
        "control": {"pid": 6, "cpu_share": 0.01, "memory_bytes": 3},
        "workers": [worker],
        "replacement_reasons": [],
    }


@pytest.mark.parametrize("harm", ["no summed key", "no workers", "no rank", "no object"])
def test_malformed_telemetry_of_a_machine_costs_only_its_row(tmp_path: Path, harm: str) -> None:
    bad = sample()
    if harm == "no summed key":
        del bad["workers"][0]["memory_bytes"]
    elif harm == "no workers":
        bad["workers"] = []
    elif harm == "no rank":
        del bad["workers"][0]["rank"]
    else:
        bad = None
    rows, malformed = telemetry_rows(["10.0.0.1", "10.0.0.2", "10.0.0.3"], [sample(), bad, sample()])
    assert [(row["rank"], row["name"]) for row in rows] == [(0, "10.0.0.1"), (2, "10.0.0.3")]
    assert list(malformed) == ["10.0.0.2"] and malformed["10.0.0.2"]
    run = {"step": 3, "loss": 2.5, "gradient_norm": 0.5, "tokens_per_second": 1000.0}
    with History(path := tmp_path / "history.sqlite") as history:
        history.add(1.0, run, {"control": sample()["control"], "workers": rows})
    (number,) = sqlite3.connect(path).execute("SELECT COUNT(*) FROM workers").fetchone()
    assert number == 4
