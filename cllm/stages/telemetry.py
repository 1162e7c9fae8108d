"""What the processes of a sphere do, sampled while a network learns: for the status file, and as a history.

A worker's time is what its control node sees of it: from a call to its answer it computes (positions, dev documents) or
reduces (sums, updates); the rest of the time it waits. The history is bounded: when it is full, every second sample of
it goes, so that it covers a run of any length.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cllm.machine import cpu_seconds, resident_bytes
from cllm.spheres import Sphere

COMPUTING, REDUCING = ("compute", "dev_loss"), ("reduce", "update")
NOTHING = {"positions": 0, "computing": 0.0, "reducing": 0.0}
HISTORY_SECONDS = 5.0  # between two samples that are kept
MOST_SAMPLES = 1024  # that are kept: of a run of an hour one every 7 s, of a day's one every 3 minutes
SCHEMA = """
CREATE TABLE IF NOT EXISTS steps (
    seconds REAL PRIMARY KEY, step INTEGER, loss REAL, gradient_norm REAL, tokens_per_second REAL, control REAL
);
CREATE TABLE IF NOT EXISTS workers (
    seconds REAL, rank INTEGER, pid INTEGER, state TEXT, positions INTEGER, tokens_per_second REAL,
    computing REAL, reducing REAL, memory_bytes INTEGER, PRIMARY KEY (seconds, rank)
);
"""
EVERY_SECOND = """
SELECT seconds FROM (SELECT seconds, ROW_NUMBER() OVER (ORDER BY seconds) AS number FROM steps) WHERE number % 2 = 0
"""


class Telemetry:
    """Samples of a sphere, each about the time since the one before."""

    def __init__(self, sphere: Sphere, clock: Callable[[], float] = time.monotonic) -> None:
        self._sphere, self._clock = sphere, clock
        self._before = self._counts()

    def sample(self, tokens_per_position: int) -> dict[str, Any]:
        """{"control": ..., "workers": [...]}: shares of the time, speeds, memory."""
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
        control = {"pid": os.getpid(), "processor": (now["processor"] - before["processor"]) / seconds}
        return {"control": control, "workers": workers}

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


class History:
    """A run's samples in one SQLite file; a context manager.

    It is a record and nothing depends on it: one that cannot be read is begun anew, and where it cannot be written, on
    a full disk, the run goes on.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._database = opened(path)
        except sqlite3.DatabaseError:
            path.unlink()
            self._database = opened(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, seconds: float, run: Mapping[str, Any], sample: Mapping[str, Any]) -> None:
        """Keep a sample of the run after so many seconds of training."""
        step = (run["step"], run["loss"], run["gradient_norm"], run["tokens_per_second"])
        names = ("rank", "pid", "state", "positions", "tokens_per_second", "computing", "reducing", "memory_bytes")
        rows = [(seconds, *(worker[name] for name in names)) for worker in sample["workers"]]
        control = sample["control"]["processor"]
        with contextlib.suppress(sqlite3.Error), self._database:
            self._database.execute("BEGIN")
            self._database.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?)", (seconds, *step, control))
            self._database.executemany("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            (count,) = self._database.execute("SELECT COUNT(*) FROM steps").fetchone()
            if count > MOST_SAMPLES:
                for table in ("workers", "steps"):
                    self._database.execute(f"DELETE FROM {table} WHERE seconds IN ({EVERY_SECOND})")


def opened(path: Path) -> sqlite3.Connection:
    """A database with the tables of a history."""
    database = sqlite3.connect(path, isolation_level=None)
    # Not WAL: SQLite 3.7 to 3.51 can damage such a file. Nothing waits for the disk.
    database.executescript(f"PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF; {SCHEMA}")
    return database


def read_history(path: Path) -> list[dict[str, float]]:
    """The samples of the run, as it went; none where there is no history that can be read."""
    if not path.exists():
        return []
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database,
    ):
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM steps ORDER BY seconds")]
    return []
