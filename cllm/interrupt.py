"""Handling of Ctrl-C and SIGTERM: the first signal lets the current work be saved, the second ends the process."""

import os
import signal
from types import FrameType


class Interrupted(BaseException):
    """The user or the system asked to stop; `exit_code` is 130 (SIGINT) or 143 (SIGTERM)."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


class InterruptHandler:
    """Context manager that handles the two signals.

    A signal raises `Interrupted` at the current instruction; while `deferred` is set it is stored in `requested`, which
    a loop checks between steps.
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
        """Raise `Interrupted` if a signal arrived while deferred."""
        if self.requested is not None:
            raise Interrupted(self.requested)
