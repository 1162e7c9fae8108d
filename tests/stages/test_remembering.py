"""Who rests while the memory reads, and how much of the workers' time that takes."""

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.progress import PlainReporter
from cllm.run import Run
from cllm.spheres import WorkerLost
from cllm.stages.remembering import Remembering
from cllm.stages.session import Session


def session(num_workers: int, cores: int) -> Any:
    """As much of a session as counts here."""
    made = SimpleNamespace(num_workers=num_workers, cores=cores, listen=None)
    made.levels = Session.levels.fget(made)  # type: ignore[attr-defined]
    made.num_resting = Session.num_resting.fget(made)  # type: ignore[attr-defined]
    made.reading_share = Session.reading_share.fget(made)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("num_workers", "cores", "resting", "share"),
    [
        (1, 1, 0, 1 / 2),  # the only worker shares its core
        (1, 2, 0, 0),
        (2, 2, 1, 1 / 2),
        (2, 3, 0, 0),
        (3, 2, 2, 2 / 3),  # three on two cores: one is left to the memory
        (4, 4, 1, 1 / 4),
        (5, 5, 1, 0),  # five or four, a step is three rounds
        (12, 12, 1, 1 / 2),  # eleven take two rounds
        (12, 16, 0, 0),
        (13, 16, 0, 1 / 16),  # of two levels nobody rests
        (13, 2, 0, 1 / 2),
    ],
)
def test_a_core_is_left_to_the_memory(num_workers: int, cores: int, resting: int, share: float) -> None:
    made = session(num_workers, cores)
    assert made.num_resting == resting and made.reading_share == pytest.approx(share)


def test_workers_rest_as_long_as_it_reads() -> None:
    remembering = Remembering(session(2, 2), Run(Path("nowhere")), {})
    assert remembering.num_resting() == 0 and remembering.lost_seconds(100.0) == 0.0
    answered = False
    sphere = SimpleNamespace(has_answered=lambda: answered, end=lambda: {"seconds": 1.0})
    remembering._sphere = sphere  # type: ignore[assignment]
    remembering._reads_until = time.monotonic() + 1000.0
    assert remembering.num_resting() == 1
    assert remembering.lost_seconds(60.0) == 30.0, "no more than there is"
    assert remembering.lost_seconds(5000.0) == pytest.approx(500.0, abs=5.0)
    remembering._reads_until = time.monotonic() - 1.0
    assert remembering.lost_seconds(60.0) == 0.0, "it is late, and nobody knows how late"
    answered = True
    assert remembering.num_resting() == 0


def reading(answer: dict[str, float] | WorkerLost, monkeypatch: pytest.MonkeyPatch) -> Remembering:
    """One whose process has just answered."""

    def end() -> dict[str, float]:
        if isinstance(answer, WorkerLost):
            raise answer
        return answer

    remembering = Remembering(session(2, 2), Run(Path("nowhere")), {})
    remembering._sphere = SimpleNamespace(has_answered=lambda: True, end=end)  # type: ignore[assignment]
    monkeypatch.setattr(remembering, "_start", lambda first: None)
    return remembering


@pytest.mark.parametrize(
    ("size", "seconds", "speed"),
    [(96_000, 1, 1), (192_000, 2, 2), (192_000, 8, 0.5), (480_000, 20, 0.5), (9_600_000, 1, 3), (10, 0, 1), (0, 0, 1)],
)
def test_what_is_read_first_tells_how_fast_the_machine_is(
    size: int, seconds: float, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembering = reading({"bits": 1.0, "bytes": size, "seconds": seconds}, monkeypatch)
    assert remembering.calibrate() == speed
    assert not remembering._is_reading() and remembering._read == {
        "bits": 2.0,
        "bytes": 2 * size,
        "seconds": 2 * seconds,
    }


def test_a_process_that_is_lost_while_it_reads_is_spoken_of_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    remembering = reading(WorkerLost("killed"), monkeypatch)
    assert remembering.num_resting() == 0
    remembering._session.report = PlainReporter(io.StringIO())
    with pytest.raises(WorkerLost, match="killed"):
        remembering.finish()
