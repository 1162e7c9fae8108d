"""Samples of what the processes of a sphere do during training, for the status file and the history.

A worker's time is measured by its control node: from a call to its answer it computes (micro-batches, dev documents) or
reduces (sums, updates). The rest counts as waiting: it waits for a call, or answers another one (`load_run`, `amend`).
`memory_bytes` is a process's resident memory, read from `/proc` by its control node; pages that processes share count
for each of them, so a sum counts them repeatedly. Each control node samples its own sphere and reports to the one
above, whose row for a control node aggregates the workers below it.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from cllm.machine import cpu_seconds, resident_bytes
from cllm.spheres.order import FANOUT
from cllm.spheres.sphere import Sphere

COMPUTE_CALLS, REDUCE_CALLS = ("compute", "dev_loss"), ("reduce", "update", "reduce_to_parent")
ZERO_COUNTS = {"num_micro_batches": 0, "compute_seconds": 0.0, "reduce_seconds": 0.0}
SUMMED_KEYS, AVERAGED_KEYS = (
    ("num_micro_batches", "tokens_per_second", "memory_bytes", "num_replacements"),
    ("compute_share", "reduce_share"),
)

CONTROL_KEYS, WORKER_KEYS = ("pid", "cpu_share", "memory_bytes"), ("rank", "pid", *SUMMED_KEYS, *AVERAGED_KEYS)
INTEGER_KEYS = ("rank", "pid", "num_micro_batches", "memory_bytes", "num_replacements")
MAX_NUMBER = 1 << 53  # a larger one is no float, and none above 1 << 63 fits into SQLite
MAX_REASON_CHARACTERS = 200

Sample = dict[str, Any]  # {"control": {...}, "workers": [{...}, ...], "replacement_reasons": [text, ...]}


class Telemetry:
    """Samples of a sphere, each covering the time since the previous sample."""

    def __init__(self, sphere: Sphere, clock: Callable[[], float] = time.monotonic) -> None:
        self._sphere, self._clock = sphere, clock
        self._last_counts, self._num_reported = self._counts(), 0

    def sample(self, tokens_per_micro_batch: int) -> Sample:
        """Time shares, tokens per second and memory of each process, and the reasons of worker replacements."""
        before, now = self._last_counts, self._counts()
        self._last_counts = now
        seconds = max(now["seconds"] - before["seconds"], 1e-9)
        workers = []
        for worker, is_now in now["workers"].items():
            was = before["workers"].get(worker, ZERO_COUNTS)  # a worker that was started since
            micro_batches = is_now["num_micro_batches"] - was["num_micro_batches"]
            workers.append(
                {
                    "rank": worker.rank,
                    "pid": worker.process.pid,
                    "num_replacements": worker.num_replacements,
                    "num_micro_batches": micro_batches,
                    "tokens_per_second": micro_batches * tokens_per_micro_batch / seconds,
                    "compute_share": min(1.0, (is_now["compute_seconds"] - was["compute_seconds"]) / seconds),
                    "reduce_share": min(1.0, (is_now["reduce_seconds"] - was["reduce_seconds"]) / seconds),
                    "memory_bytes": resident_bytes(worker.process.pid),
                }
            )
        pid = os.getpid()
        control = {
            "pid": pid,
            "cpu_share": (now["cpu_seconds"] - before["cpu_seconds"]) / seconds,
            "memory_bytes": resident_bytes(pid),
        }
        reasons, self._num_reported = (
            self._sphere.replacement_reasons[self._num_reported :],
            len(self._sphere.replacement_reasons),
        )
        return {"control": control, "workers": workers, "replacement_reasons": reasons}

    def _counts(self) -> dict[str, Any]:
        workers = {
            worker: {
                "num_micro_batches": worker.num_done["compute"],
                "compute_seconds": sum(worker.seconds[name] for name in COMPUTE_CALLS),
                "reduce_seconds": sum(worker.seconds[name] for name in REDUCE_CALLS),
            }
            for worker in self._sphere.workers
        }
        return {"seconds": self._clock(), "cpu_seconds": cpu_seconds([os.getpid()]), "workers": workers}


def checked_sample(value: Any) -> Sample:
    """A sample that another machine sent, with the keys of `Telemetry.sample` only; ValueError if it is malformed."""
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    workers, reasons = value.get("workers"), value.get("replacement_reasons")
    if not isinstance(workers, list) or not 1 <= len(workers) <= FANOUT:
        raise ValueError(f"workers is not a list of 1 to {FANOUT}")
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise ValueError("replacement_reasons is not a list of texts")
    return {
        "control": checked_numbers(value.get("control"), CONTROL_KEYS),
        "workers": [checked_numbers(worker, WORKER_KEYS) for worker in workers],
        "replacement_reasons": [
            "".join(c if c.isprintable() else "?" for c in reason[:MAX_REASON_CHARACTERS]) for reason in reasons
        ],
    }


def checked_numbers(value: Any, keys: Sequence[str]) -> dict[str, Any]:
    """These keys of an object; ValueError if one is missing or not a number from 0 to `MAX_NUMBER`."""
    if not isinstance(value, dict):
        raise ValueError("a process is not an object")
    for key in keys:
        number, kind = value.get(key), int if key in INTEGER_KEYS else int | float
        if isinstance(number, bool) or not isinstance(number, kind) or not 0 <= number <= MAX_NUMBER:
            raise ValueError(f"{key} is {repr(number)[:40]}")
    return {key: value[key] for key in keys}


def control_node_row(rank: int, name: str, child_sample: Sample) -> dict[str, Any]:
    """A control node's row among the workers of the sphere above: sums and means of a sample of its own sphere."""
    workers = child_sample["workers"]
    sums: dict[str, Any] = {key: sum(worker[key] for worker in workers) for key in SUMMED_KEYS}
    sums["memory_bytes"] += child_sample["control"]["memory_bytes"]
    return {
        "rank": rank,
        "name": name,
        "pid": child_sample["control"]["pid"],
        **sums,
        **{key: sum(worker[key] for worker in workers) / len(workers) for key in AVERAGED_KEYS},
        "workers": workers,
        "replacement_reasons": child_sample["replacement_reasons"],
    }


def flatten(workers: Sequence[dict[str, Any]], sphere: str = "") -> list[tuple[str, dict[str, Any]]]:
    """All processes below a control node, each with the name of its sphere: "", and "0", "1", ... one level down."""
    found = []
    for worker in workers:
        found.append((sphere, worker))
        found += flatten(worker.get("workers", ()), f"{sphere}{'.' if sphere else ''}{worker['rank']}")
    return found
