"""Ctrl-C and SIGTERM: the first one lets the work in hand be saved, the second one ends the process at once."""

import os
import signal
from types import FrameType


class Interrupted(BaseException):
    """The user or the system asked to stop; `exit_code` is 130 (SIGINT) or 143 (SIGTERM)."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


class InterruptHandler:
    """Catches the two signals while it is entered.

    Outside `deferred` the signal raises `Interrupted` where the program stands; inside, it is kept in `requested` for
    the loop to look at between two steps.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested: int | None = None
        self.deferred = False

    def __enter__(self) -> "InterruptHandler":
        self._previous = [signal.signal(number, self._handle) for number in self.SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, previous in zip(self.SIGNALS, self._previous, strict=True):
            signal.signal(number, previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            os._exit(128 + number)
        self.requested = number
        if not self.deferred:
            raise Interrupted(number)

    def check(self) -> None:
        """Raise `Interrupted` if a signal came while deferred."""
        if self.requested is not None:
            raise Interrupted(self.requested)
