"""Round-robin training, and the time at which a curve reaches a value."""

import pytest

from cllm.bench.shared.round_robin import NUM_SLICES, TrainingProgress, seconds_to_reach, train_round_robin
from cllm.bench.shared.trainer import CurvePoint


class FakeTrainer:
    """A trainer whose steps take a third of a second of its own clock."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.seconds, self.tokens_per_second = name, 0.0, 1.0
        self._order = order

    def train_until(self, until: float) -> None:
        self._order.append(self.name)
        while self.seconds < until:
            self.seconds += 1 / 3


class FakeReporter:
    def __init__(self) -> None:
        self.shares: list[float] = []

    def start_phase(self, name: str) -> None: ...

    def update(self, share: float, note: str = "", seconds_left: float | None = None) -> None:
        self.shares.append(share)

    def log(self, text: str) -> None: ...


def test_trainers_get_equal_time_in_slices_with_a_rotating_first() -> None:
    order: list[str] = []
    trainers = [FakeTrainer(name, order) for name in "abc"]
    report = FakeReporter()
    slices = list(train_round_robin(trainers, 30.0, TrainingProgress(report, "race", 90.0)))  # type: ignore[arg-type]
    assert slices == list(range(1, NUM_SLICES + 1))
    assert all(30 <= trainer.seconds < 30 + 1 / 3 + 1e-9 for trainer in trainers)
    first_of_slices = order[::3]
    assert {first_of_slices.count(name) for name in "abc"} <= {6, 7}
    assert report.shares == sorted(report.shares) and report.shares[-1] == 1.0


def points(*pairs: tuple[float, float]) -> list[CurvePoint]:
    return [CurvePoint(seconds=seconds, tokens=0, bits_per_byte=bits) for seconds, bits in pairs]


def test_seconds_to_reach_interpolates_logarithmically() -> None:
    assert seconds_to_reach(points((10, 3.0), (40, 2.0), (160, 1.5)), 2.5) == pytest.approx(20)
    assert seconds_to_reach(points((160, 1.5), (10, 3.0), (40, 2.0)), 2.0) == pytest.approx(40)


def test_seconds_to_reach_outside_of_the_curve() -> None:
    assert seconds_to_reach(points((10, 3.0), (40, 2.0)), 1.9) is None
    assert seconds_to_reach(points((10, 3.0), (40, 2.0)), 3.5) == 10
    assert seconds_to_reach([], 1.0) is None
