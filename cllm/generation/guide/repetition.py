"""Texts that repeat themselves without need: a greedy decoder's loops, and copies of the line above.

A repetition is wrong only if the repository has none like it: tables and tests repeat lines, too.
"""

import re
from collections.abc import Callable
from itertools import pairwise

MAX_PERIOD_LINES = 8
TAIL_LINES = 16  # of the prompt, with which generated lines are compared
WORD = re.compile(rb"\w")
CLOSERS = re.compile(rb"[\s)\]};,]*")  # lines of these follow each other by nesting
REPEATED_PART = re.compile(rb"(.{4,40}?)\1\1")  # within a line


class Repetition:
    """Finds where a text begins to repeat itself, or the lines before the cursor, in a way that is new."""

    def __init__(self, prefix: bytes, occurs: Callable[[bytes], bool]) -> None:
        """`occurs`: whether a text occurs in the repository or the prompt."""
        begin = len(prefix)
        for _ in range(TAIL_LINES):
            begin = prefix.rfind(b"\n", 0, max(0, begin - 1)) + 1 if begin else 0
        self._tail, self._occurs = prefix[begin:], occurs

    def offset(self, generated: bytes) -> int | None:
        """Return the offset in `generated` at which the last of several repeated parts begins; None if there is none.

        The last line of `generated` is complete.
        """
        text = self._tail + generated.rstrip(b"\n") + b"\n"
        starts = [0, *(found.end() for found in re.finditer(rb"\n", text))]
        for period in range(1, MAX_PERIOD_LINES + 1):
            found = self._repeated_lines(text, starts, period)
            if found is not None:
                return max(0, found - len(self._tail))
        return self._repeated_part(generated)

    def _repeated_lines(self, text: bytes, starts: list[int], period: int) -> int | None:
        """The begin of the last `period` lines of a text if they repeat those before them, indentation aside."""
        count = len(starts) - 1
        if count < 2 * period or self._line_start_of(starts[count - period]) < len(self._tail):
            return None
        lines = [text[begin:end].strip() for begin, end in pairwise(starts)]
        part = lines[count - period :]
        if all(CLOSERS.fullmatch(line) for line in part):
            return None
        first = count - period
        while first >= period and lines[first - period : first] == part:
            first -= period
        is_repeated = first < count - period
        return starts[count - period] if is_repeated and not self._occurs(text[starts[first] :]) else None

    def _line_start_of(self, start: int) -> int:
        """A line that begins before the cursor counts as generated if only blanks stand before the cursor."""
        return start if self._tail[start:].strip() else max(start, len(self._tail))

    def _repeated_part(self, generated: bytes) -> int | None:
        """The begin of the third of equal parts of the last line."""
        line_start = generated.rstrip(b"\n").rfind(b"\n") + 1
        for found in REPEATED_PART.finditer(generated, line_start):
            if WORD.search(found[1]) and not self._occurs(found[0]):
                return found.end() - len(found[1])
        return None
