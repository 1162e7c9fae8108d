"""Telemetry: samples of workers, and rows of control nodes."""

import copy
import json
import math
from collections import Counter, defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.spheres.telemetry import Telemetry, checked_sample, control_node_row, flatten


class FakeWorker(SimpleNamespace):
    """A worker that is hashable by identity."""

    __hash__ = object.__hash__


def worker(rank: int) -> Any:
    return FakeWorker(
        rank=rank,
        process=SimpleNamespace(pid=1),
        num_replacements=rank,
        num_done=Counter(),
        seconds=defaultdict(float),
    )


def test_sample_covers_the_time_since_the_previous_one() -> None:
    now = 10.0
    workers, reasons = [worker(0), worker(1)], ["one"]
    telemetry = Telemetry(SimpleNamespace(workers=workers, replacement_reasons=reasons), lambda: now)  # type: ignore[arg-type]
    now = 14.0
    workers[0].num_done.update(compute=8, reduce=1, dev_loss=1)
    workers[0].seconds.update(compute=2.0, dev_loss=1.0, reduce=0.25, update=0.25)
    sample = telemetry.sample(512)
    first, second = sample["workers"]
    assert sample["replacement_reasons"] == ["one"]
    reasons.append("two")
    assert (first["num_micro_batches"], first["tokens_per_second"]) == (8, 1024.0)
    assert (first["compute_share"], first["reduce_share"]) == (0.75, 0.125)
    assert (second["num_micro_batches"], second["compute_share"], second["num_replacements"]) == (0, 0.0, 1)
    assert first["memory_bytes"] > 0
    now = 15.0
    second_sample = telemetry.sample(512)
    assert [each["num_micro_batches"] for each in second_sample["workers"]] == [0, 0] and second_sample[
        "replacement_reasons"
    ] == ["two"]
    workers[1] = worker(1)  # replaced by another worker
    workers[1].num_done.update(compute=3)
    assert [each["num_micro_batches"] for each in telemetry.sample(512)["workers"]] == [0, 3]
    assert second_sample["control"]["cpu_share"] >= 0


def child_sample(pid: int) -> Any:
    fields = {
        "num_micro_batches": 6,
        "tokens_per_second": 10.0,
        "memory_bytes": 5,
        "num_replacements": 1,
        "reduce_share": 0.1,
    }
    workers = [{"rank": rank, "pid": pid + 1 + rank, "compute_share": 0.5 + rank / 10, **fields} for rank in range(2)]
    return {
        "control": {"pid": pid, "cpu_share": 0.01, "memory_bytes": 3},
        "workers": workers,
        "replacement_reasons": ["why"],
    }


MISSING = object()
HARMS = [
    ("control", MISSING),
    ("control", []),
    ("control.pid", MISSING),
    ("control.cpu_share", None),
    ("control.memory_bytes", math.inf),
    ("workers", MISSING),
    ("workers", []),
    ("workers", {}),
    ("workers", [{}] * 13),
    ("workers.1", None),
    ("workers.1.rank", MISSING),
    ("workers.1.rank", 1.5),
    ("workers.1.pid", "1"),
    ("workers.1.num_micro_batches", MISSING),
    ("workers.1.num_micro_batches", -1),
    ("workers.1.tokens_per_second", math.nan),
    ("workers.1.memory_bytes", 1 << 80),
    ("workers.1.num_replacements", True),
    ("workers.1.compute_share", MISSING),
    ("workers.1.reduce_share", []),
    ("replacement_reasons", MISSING),
    ("replacement_reasons", "why"),
    ("replacement_reasons", [1]),
]


@pytest.mark.parametrize(("place", "value"), HARMS)
def test_what_another_machine_sends_is_checked(place: str, value: object) -> None:
    sample = part = copy.deepcopy(child_sample(70))
    *parents, last = [int(name) if name.isdecimal() else name for name in place.split(".")]
    for name in parents:
        part = part[name]
    if value is MISSING:
        del part[last]
    else:
        part[last] = value
    with pytest.raises(ValueError):
        checked_sample(sample)


@pytest.mark.parametrize("value", [None, 4, "text", [], {}])
def test_what_is_no_sample_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        checked_sample(value)


def test_a_sample_passes_without_what_does_not_belong_to_it() -> None:
    sample = child_sample(70)
    assert checked_sample(json.loads(json.dumps(sample))) == sample
    more = copy.deepcopy(sample)
    more["workers"][0]["workers"] = [{}]
    more["replacement_reasons"] = ["\x1b[2J" + "y" * 1000]
    (reason,) = checked_sample(more).pop("replacement_reasons")
    assert checked_sample(more)["workers"] == sample["workers"] and reason == "?[2J" + "y" * 196


def test_a_real_sample_passes() -> None:
    sphere = SimpleNamespace(workers=[worker(0), worker(1)], replacement_reasons=["one"])
    sample = Telemetry(sphere).sample(512)  # type: ignore[arg-type]
    assert checked_sample(sample) == sample


def test_control_node_row_aggregates_its_workers() -> None:
    row = control_node_row(1, "10.0.0.2", child_sample(70))
    assert (row["rank"], row["name"], row["pid"]) == (1, "10.0.0.2", 70)
    assert (row["num_micro_batches"], row["tokens_per_second"], row["memory_bytes"], row["num_replacements"]) == (
        12,
        20.0,
        13,
        2,
    )
    assert (round(row["compute_share"], 9), row["reduce_share"], row["replacement_reasons"]) == (0.55, 0.1, ["why"])


def test_flatten_lists_all_processes_with_their_sphere() -> None:
    tree = [control_node_row(rank, "", child_sample(70 + 10 * rank)) for rank in range(2)]
    assert [(sphere, row["pid"]) for sphere, row in flatten(tree)] == [
        *[("", 70), ("0", 71), ("0", 72)],
        *[("", 80), ("1", 81), ("1", 82)],
    ]
