"""What the processes of a sphere do, sampled while a network learns: for the status file, and as a history.

A worker's time is what its control node sees of it: from a call to its answer it computes (positions, dev documents) or
reduces (sums, updates); the rest of the time it waits. Each control node samples its own sphere; one above is told, and
what it says of a control node is what is below that.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from cllm.machine import cpu_seconds, resident_bytes
from cllm.spheres.sphere import Sphere

COMPUTING, REDUCING = ("compute", "dev_loss"), ("reduce", "update", "gather")
NOTHING = {"positions": 0, "computing": 0.0, "reducing": 0.0}
SUMMED, AVERAGED = ("positions", "tokens_per_second", "memory_bytes", "replaced"), ("computing", "reducing")

Sample = dict[str, Any]  # {"control": {...}, "workers": [{...}, ...], "lost": [why, ...]}


class Telemetry:
    """Samples of a sphere, each about the time since the one before."""

    def __init__(self, sphere: Sphere, clock: Callable[[], float] = time.monotonic) -> None:
        self._sphere, self._clock = sphere, clock
        self._before, self._told = self._counts(), 0

    def sample(self, tokens_per_position: int) -> Sample:
        """Shares of the time, speeds, memory; why workers were replaced, where they were."""
        before, now = self._before, self._counts()
        self._before = now
        seconds = max(now["seconds"] - before["seconds"], 1e-9)
        workers = []
        for worker, is_now in now["workers"].items():
            was = before["workers"].get(worker, NOTHING)  # of one that has joined since
            positions = is_now["positions"] - was["positions"]
            workers.append(
                {
                    "rank": worker.rank,
                    "pid": worker.process.pid,
                    "state": worker.state,
                    "replaced": worker.times_replaced,
                    "positions": positions,
                    "tokens_per_second": positions * tokens_per_position / seconds,
                    "computing": min(1.0, (is_now["computing"] - was["computing"]) / seconds),
                    "reducing": min(1.0, (is_now["reducing"] - was["reducing"]) / seconds),
                    "memory_bytes": resident_bytes(worker.process.pid),
                }
            )
        pid = os.getpid()
        control = {
            "pid": pid,
            "processor": (now["processor"] - before["processor"]) / seconds,
            "memory_bytes": resident_bytes(pid),
        }
        lost, self._told = self._sphere.replaced[self._told :], len(self._sphere.replaced)
        return {"control": control, "workers": workers, "lost": lost}

    def _counts(self) -> dict[str, Any]:
        workers = {
            worker: {
                "positions": worker.answered["compute"],
                "computing": sum(worker.seconds[name] for name in COMPUTING),
                "reducing": sum(worker.seconds[name] for name in REDUCING),
            }
            for worker in self._sphere.workers
        }
        return {"seconds": self._clock(), "processor": cpu_seconds([os.getpid()]), "workers": workers}


def of_control_node(rank: int, name: str, below: Sample) -> dict[str, Any]:
    """What is said of a control node among workers, of a sample of its own sphere."""
    workers = below["workers"]
    sums: dict[str, Any] = {key: sum(worker[key] for worker in workers) for key in SUMMED}
    sums["memory_bytes"] += below["control"]["memory_bytes"]
    return {
        "rank": rank,
        "name": name,
        "pid": below["control"]["pid"],
        "state": "control",
        **sums,
        **{key: sum(worker[key] for worker in workers) / len(workers) for key in AVERAGED},
        "workers": workers,
        "lost": ["".join(c if c.isprintable() else "?" for c in why) for why in below["lost"]],
    }


def flat(workers: Sequence[dict[str, Any]], sphere: str = "") -> list[tuple[str, dict[str, Any]]]:
    """All processes below a control node, each with the name of its sphere: "", and "0", "1", ... one level down."""
    found = []
    for worker in workers:
        found.append((sphere, worker))
        found += flat(worker.get("workers", ()), f"{sphere}{'.' if sphere else ''}{worker['rank']}")
    return found
