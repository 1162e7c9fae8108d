"""Round-robin training in time slices, so that other load on the machine affects all trainers equally."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from cllm.bench.shared.config import BenchmarkConfig
from cllm.bench.shared.trainer import CurvePoint, TimedTrainer
from cllm.progress import Reporter

NUM_SLICES = 20


class TrainingProgress:
    """Reports the progress of a benchmark and the estimated remaining time."""

    def __init__(self, report: Reporter, name: str, seconds: float) -> None:
        """`seconds`: total training time of all trainers."""
        self._report, self._total = report, seconds
        self._done, self._began = 0.0, time.monotonic()
        report.start_phase(name)

    def add(self, seconds: float, note: str) -> None:
        """Add seconds of training, and show a note."""
        self._done += seconds
        share = min(1.0, self._done / self._total)
        self._report.update(share, note, (time.monotonic() - self._began) * (1 / share - 1) if share else None)

    def log(self, text: str) -> None:
        """Print a permanent line."""
        self._report.log(text)


def train_round_robin(trainers: Sequence[TimedTrainer], seconds: float, progress: TrainingProgress) -> Iterator[int]:
    """Train all for `seconds` each, in slices; yield each slice's number, from 1. The first trainer rotates."""
    for number in range(1, NUM_SLICES + 1):
        first_index = number % len(trainers)
        for trainer in (*trainers[first_index:], *trainers[:first_index]):
            before = trainer.seconds
            trainer.train_until(seconds * number / NUM_SLICES)
            progress.add(trainer.seconds - before, f"{trainer.name} {trainer.tokens_per_second:,.0f} tokens/s")
        yield number


def seconds_to_reach(points: Sequence[CurvePoint], bits_per_byte: float) -> float | None:
    """Return the seconds at which a curve first reaches `bits_per_byte`, interpolated in log(seconds).

    None if the curve never reaches it. If the first point is already as low, that point's seconds are returned.
    """
    before: CurvePoint | None = None
    for point in sorted(points, key=lambda point: point.seconds):
        if point.bits_per_byte <= bits_per_byte:
            if before is None:
                return point.seconds
            share = (before.bits_per_byte - bits_per_byte) / (before.bits_per_byte - point.bits_per_byte)
            return math.exp((1 - share) * math.log(before.seconds) + share * math.log(point.seconds))
        before = point
    return None


def score_round_robin(
    config: BenchmarkConfig, trainers: Sequence[TimedTrainer], name: str, report: Reporter
) -> list[dict[str, Any]]:
    """Train all trainers for the same seconds, round-robin, and return a row of metrics for each."""
    with ExitStack() as stack:
        for trainer in trainers:
            stack.enter_context(trainer)
        for _ in train_round_robin(
            trainers, config.seconds, TrainingProgress(report, name, config.seconds * len(trainers))
        ):
            pass
        return [trainer_row(trainer) for trainer in trainers]


def trainer_row(trainer: TimedTrainer) -> dict[str, Any]:
    """Score a trainer and return its metrics."""
    dataset = trainer.dataset
    return {
        "name": trainer.name,
        "vocab_size": dataset.vocab_size,
        "tokens_per_second": trainer.tokens_per_second,
        "bytes_per_second": trainer.tokens_per_second * dataset.train_bytes / dataset.train_tokens,
        "peak_memory_bytes": trainer.peak_memory_bytes,
        **asdict(trainer.evaluate()),
    }
