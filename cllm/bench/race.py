"""Slices of learning in turn, so that what the machine does meanwhile meets all contenders."""

import math
import time
from collections.abc import Iterator, Sequence

from cllm.bench.contender import Contender, Point
from cllm.progress import Reporter

SLICES = 20


class Course:
    """Tells the display how far a race has come, and how long it is going to take at the pace so far."""

    def __init__(self, report: Reporter, name: str, seconds: float) -> None:
        """`seconds`: of all contenders' learning."""
        self._report, self._total = report, seconds
        self._done, self._began = 0.0, time.monotonic()
        report.phase(name)

    def went(self, seconds: float, note: str) -> None:
        """So many more seconds were learned."""
        self._done += seconds
        share = min(1.0, self._done / self._total)
        self._report.update(share, note, (time.monotonic() - self._began) * (1 / share - 1) if share else None)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._report.say(text)


def race(contenders: Sequence[Contender], seconds: float, course: Course) -> Iterator[int]:
    """All learn so many seconds; after each slice of all, its number from 1. Who is first changes."""
    for number in range(1, SLICES + 1):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            before = contender.seconds
            contender.learn(seconds * number / SLICES)
            course.went(contender.seconds - before, f"{contender.name} {contender.tokens_per_second:,.0f} tokens/s")
        yield number


def seconds_to(points: Sequence[Point], bits_per_byte: float) -> float | None:
    """When a course of points first came down to so many bits, between two points by the logarithm of the seconds.

    None: it never did. Where the first point is there already, that point's seconds.
    """
    before: Point | None = None
    for point in sorted(points, key=lambda point: point.seconds):
        if point.bits_per_byte <= bits_per_byte:
            if before is None:
                return point.seconds
            share = (before.bits_per_byte - bits_per_byte) / (before.bits_per_byte - point.bits_per_byte)
            return math.exp((1 - share) * math.log(before.seconds) + share * math.log(point.seconds))
        before = point
    return None
