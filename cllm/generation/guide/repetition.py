"""Texts that repeat themselves without need: a greedy decoder's loops, and copies of the line above.

A repetition is wrong only if the repository has none like it: tables and tests repeat lines, too.
"""

import re
from collections.abc import Callable

MAX_PERIOD_LINES = 8
TAIL_LINES = 16  # of the prompt, with which generated lines are compared
CLOSERS = re.compile(rb"[\s)\]};,]*")  # lines of these follow each other by nesting
LINE = re.compile(rb"^[^\S\n]*\S[^\n]*\n", re.MULTILINE)  # that is not blank
WORD = re.compile(rb"\w")
REPEATED_PART = re.compile(rb"(\S.{3,39}?)\1{2,}")  # within a line
MAX_EQUAL_LINES, EQUAL_LINE_SPAN = 3, 16  # equal generated lines, and lines within which they count
MIN_EQUAL_LINE_BYTES = 16  # of such lines: shorter ones (`return false;`, `@pytest.fixture`) are common


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
        lines = [(found.start(), found[0].strip()) for found in LINE.finditer(text)]
        for period in range(1, min(MAX_PERIOD_LINES, len(lines) // 2) + 1):
            found = self._repeated_lines(text, lines, period)
            if found is not None:
                return max(0, found - len(self._tail))
        found = self._frequent_line(text, lines)
        return self._repeated_part(generated) if found is None else found - len(self._tail)

    def _repeated_lines(self, text: bytes, lines: list[tuple[int, bytes]], period: int) -> int | None:
        """The begin of the last `period` lines of a text if they repeat those before them, indentation aside."""
        first = len(lines) - period
        start, part = lines[first][0], [line for _, line in lines[first:]]
        if not self._is_generated(start) or all(CLOSERS.fullmatch(line) for line in part):
            return None
        while first >= period and [line for _, line in lines[first - period : first]] == part:
            first -= period
        is_repeated = first < len(lines) - period
        return start if is_repeated and not self._occurs(text[lines[first][0] :]) else None

    def _is_generated(self, start: int) -> bool:
        """Whether a line has no text before the cursor."""
        return not self._tail[start:].strip()

    def _frequent_line(self, text: bytes, lines: list[tuple[int, bytes]]) -> int | None:
        """The begin of the last line of a text if nearby generated lines are equal to it, with others in between."""
        if not lines or len(lines[-1][1]) < MIN_EQUAL_LINE_BYTES:
            return None
        begin, line = lines[-1]
        near = [start for start, other in lines[-EQUAL_LINE_SPAN:] if other == line and self._is_generated(start)]
        is_new = len(near) > MAX_EQUAL_LINES and not self._occurs(text[near[-MAX_EQUAL_LINES - 1] :])
        return begin if is_new else None

    def _repeated_part(self, generated: bytes) -> int | None:
        """The end of the repeated parts of the last line that occur elsewhere, of two at least, if there are more."""
        line_start = generated.rstrip(b"\n").rfind(b"\n") + 1
        for found in REPEATED_PART.finditer(generated, line_start):
            if WORD.search(found[1]) and not self._occurs(found[0]):
                num_known = 2
                while self._occurs(found[1] * (num_known + 1)):
                    num_known += 1
                return found.start() + num_known * len(found[1])
        return None
