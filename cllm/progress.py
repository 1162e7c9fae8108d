"""Progress display of long commands: a live bar on a terminal, plain lines in a pipe."""

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

PLAIN_SECONDS = 10.0  # between the lines of one phase in a pipe
# A phase's time left is estimated from its share if it is not given; later than this.
MIN_ESTIMATE_SECONDS, MIN_ESTIMATE_SHARE = 2.0, 0.05


class Reporter(Protocol):
    """The interface by which the pipeline reports progress."""

    def start_phase(self, name: str) -> None:
        """Begin a stage."""

    def update(self, share: float, note: str = "", seconds_left: float | None = None) -> None:
        """Set the completed share of the stage (0 to 1); `note` holds its figures."""

    def log(self, text: str) -> None:
        """Print a permanent line."""


def estimated_seconds_left(seconds: float, share: float) -> float | None:
    """Seconds that a phase will take, by the share (0 to 1) that done in `seconds`; None if too early."""
    if seconds < MIN_ESTIMATE_SECONDS or share < MIN_ESTIMATE_SHARE:
        return None
    return seconds / share * (1 - min(share, 1.0))


class PlainReporter:
    """Lines for a log: one at the start of a phase, then one every 10 s, each with the time since the start."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._began = stream, time.monotonic()
        self._name, self._phase_began, self._last = "", 0.0, 0.0

    def start_phase(self, name: str) -> None:
        self._name, self._phase_began = name, time.monotonic()
        self._last = self._phase_began
        self.log(f"{name} ...")

    def update(self, share: float, note: str = "", seconds_left: float | None = None) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS:
            self._last = now
            if seconds_left is None:
                seconds_left = estimated_seconds_left(now - self._phase_began, share)
            self.log(f"{self._name} {share:.0%}  {note}{_time_left(seconds_left)}")

    def log(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", file=self._stream, flush=True)


class TerminalReporter:
    """A live bar with the phase, the percentage, its figures and the time left; log lines are printed above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._phase_began = 0.0

    def __enter__(self) -> "TerminalReporter":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start_phase(self, name: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task, self._phase_began = self._progress.add_task(name, total=1.0, note=""), time.monotonic()

    def update(self, share: float, note: str = "", seconds_left: float | None = None) -> None:
        assert self._task is not None
        if seconds_left is None:
            seconds_left = estimated_seconds_left(time.monotonic() - self._phase_began, share)
        self._progress.update(self._task, completed=share, note=note + _time_left(seconds_left))

    def log(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)


def _time_left(seconds: float | None) -> str:
    return "" if seconds is None else f"  {int(seconds) // 60}:{int(seconds) % 60:02d} left"


@contextlib.contextmanager
def reporter(stream: TextIO) -> Iterator[Reporter]:
    """The reporter for a stream: TerminalReporter on a terminal, else PlainReporter."""
    if stream.isatty():
        with TerminalReporter(Console(file=stream)) as live:
            yield live
    else:
        yield PlainReporter(stream)
