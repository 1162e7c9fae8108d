"""The history of a training: samples of the run and of its processes, in one SQLite file.

Its size is bounded: when it is full, every second sample is deleted, so it covers a run of any length.
"""

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cllm.spheres.telemetry import flatten

HISTORY_SECONDS = 5.0  # between two samples
MAX_SAMPLES = 1024  # of a run of an hour one every 7 s, of a day one every 3 minutes
SCHEMA = """
CREATE TABLE IF NOT EXISTS steps (
    seconds REAL PRIMARY KEY, step INTEGER, loss REAL, gradient_norm REAL, tokens_per_second REAL,
    control_cpu_share REAL
);
CREATE TABLE IF NOT EXISTS workers (
    seconds REAL, sphere TEXT, rank INTEGER, pid INTEGER, num_micro_batches INTEGER, tokens_per_second REAL,
    compute_share REAL, reduce_share REAL, memory_bytes INTEGER,
    PRIMARY KEY (seconds, sphere, rank)
);
"""
WORKER_COLUMNS = (
    "rank",
    "pid",
    "num_micro_batches",
    "tokens_per_second",
    "compute_share",
    "reduce_share",
    "memory_bytes",
)
# With the names of the columns: a file of an earlier version has one more.
INSERT_WORKER = (
    f"INSERT OR REPLACE INTO workers (seconds, sphere, {', '.join(WORKER_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
EVERY_OTHER_SAMPLE = """
SELECT seconds FROM (SELECT seconds, ROW_NUMBER() OVER (ORDER BY seconds) AS number FROM steps) WHERE number % 2 = 0
"""


class History:
    """A run's samples in one SQLite file; a context manager.

    Nothing depends on it: an unreadable file is replaced by an empty one, and write errors, as on a full disk, are
    ignored.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._database = open_database(path)
        except sqlite3.DatabaseError:
            path.unlink()
            self._database = open_database(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, seconds: float, run: Mapping[str, Any], sample: Mapping[str, Any]) -> None:
        """Add a sample of the run, taken after `seconds` of training."""
        step = (run["step"], run["loss"], run["gradient_norm"], run["tokens_per_second"])
        workers = flatten(sample["workers"])
        rows = [(seconds, sphere, *(worker[name] for name in WORKER_COLUMNS)) for sphere, worker in workers]
        control = sample["control"]["cpu_share"]
        with contextlib.suppress(sqlite3.Error), self._database:
            self._database.execute("BEGIN")
            self._database.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?)", (seconds, *step, control))
            self._database.executemany(INSERT_WORKER, rows)
            (count,) = self._database.execute("SELECT COUNT(*) FROM steps").fetchone()
            if count > MAX_SAMPLES:
                for table in ("workers", "steps"):
                    self._database.execute(f"DELETE FROM {table} WHERE seconds IN ({EVERY_OTHER_SAMPLE})")


def open_database(path: Path) -> sqlite3.Connection:
    """Open a history database, and create its tables if they are missing."""
    database = sqlite3.connect(path, isolation_level=None)
    # Not WAL: SQLite 3.7 to 3.51 can corrupt a database in that mode. Not synchronous: no write waits for the disk.
    database.executescript(f"PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF; {SCHEMA}")
    return database


def read_history(path: Path) -> list[dict[str, float]]:
    """The samples of the run in order of time, columns of table `steps`; empty if the history cannot be read."""
    if not path.exists():
        return []
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database,
    ):
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM steps ORDER BY seconds")]
    return []
