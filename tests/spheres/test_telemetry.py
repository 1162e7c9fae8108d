from collections import Counter, defaultdict
from types import SimpleNamespace
from typing import Any

from cllm.spheres.telemetry import Telemetry, flat, of_control_node


class Worker(SimpleNamespace):
    """One that is only itself."""

    __hash__ = object.__hash__


def worker(rank: int) -> Any:
    return Worker(
        rank=rank,
        process=SimpleNamespace(pid=1),
        state="working",
        times_replaced=rank,
        answered=Counter(),
        seconds=defaultdict(float),
    )


def test_a_sample_is_about_the_time_since_the_one_before() -> None:
    now = 10.0
    workers, lost = [worker(0), worker(1)], ["one"]
    telemetry = Telemetry(SimpleNamespace(workers=workers, replaced=lost), lambda: now)  # type: ignore[arg-type]
    now = 14.0
    workers[0].answered.update(compute=8, reduce=1, dev_loss=1)
    workers[0].seconds.update(compute=2.0, dev_loss=1.0, reduce=0.25, update=0.25)
    sample = telemetry.sample(512)
    first, second = sample["workers"]
    assert sample["lost"] == ["one"]
    lost.append("two")
    assert (first["positions"], first["tokens_per_second"]) == (8, 1024.0)
    assert (first["computing"], first["reducing"]) == (0.75, 0.125)
    assert (second["positions"], second["computing"], second["replaced"]) == (0, 0.0, 1)
    assert first["memory_bytes"] > 0
    now = 15.0
    again = telemetry.sample(512)
    assert [each["positions"] for each in again["workers"]] == [0, 0] and again["lost"] == ["two"]
    workers[1] = worker(1)  # another has joined in the place of one that left
    workers[1].answered.update(compute=3)
    assert [each["positions"] for each in telemetry.sample(512)["workers"]] == [0, 3]
    assert again["control"]["processor"] >= 0


def below(pid: int) -> Any:
    fields = {"positions": 6, "tokens_per_second": 10.0, "memory_bytes": 5, "replaced": 1, "reducing": 0.1}
    workers = [{"rank": rank, "pid": pid + 1 + rank, "computing": 0.5 + rank / 10, **fields} for rank in range(2)]
    return {"control": {"pid": pid, "processor": 0.01, "memory_bytes": 3}, "workers": workers, "lost": ["why"]}


def test_a_control_node_is_what_is_below_it() -> None:
    row = of_control_node(1, "10.0.0.2", below(70))
    assert (row["rank"], row["name"], row["pid"], row["state"]) == (1, "10.0.0.2", 70, "control")
    assert (row["positions"], row["tokens_per_second"], row["memory_bytes"], row["replaced"]) == (12, 20.0, 13, 2)
    assert (round(row["computing"], 9), row["reducing"], row["lost"]) == (0.55, 0.1, ["why"])


def test_all_processes_have_a_sphere() -> None:
    tree = [of_control_node(rank, "", below(70 + 10 * rank)) for rank in range(2)]
    assert [(sphere, row["pid"]) for sphere, row in flat(tree)] == [
        *[("", 70), ("0", 71), ("0", 72)],
        *[("", 80), ("1", 81), ("1", 82)],
    ]
