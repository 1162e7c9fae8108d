"""The text to the right of a cursor, and what it says about a text in the gap.

The predictor prices a candidate together with what follows it: the less the text to the right costs after a candidate,
the better the candidate fits (a maximum a posteriori estimate by a left-to-right model). "Nothing" is a candidate, too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from cllm.generation.infill.known_text import MAX_NAME_BYTES, KnownText
from cllm.syntax.delimiters import num_closed, scan_delimiters
from cllm.syntax.words import first_word, indent_length, is_word_byte, last_word

MAX_REST_BYTES = 24  # of the rest of the line that are priced
MAX_BELOW_BYTES = 40  # of the next line that are priced: more tell missing lines no better
# Lines that stand for all that were not proposed: what a missing line most often does is to separate, to end or to
# open a block. With them, 30% instead of 36% of missing lines stay empty, at equally many opened ones (docs/LOG.md).
TYPICAL_LINES = (b"", b"}", b"if (x) {", b"if x:")


class GapCosts(Protocol):
    """Cost in bits of each part of a text in the gap and after it (`MemoryPredictor.gap_costs`)."""

    def __call__(self, parts: Sequence[bytes], num_dropped: int = 0) -> list[float]: ...


@dataclass(frozen=True, kw_only=True)
class RightContext:
    """Text before and after a cursor that is not at the end of its file; what the repository and the file contain."""

    prefix: bytes
    suffix: bytes
    gap_costs: GapCosts
    known: KnownText

    @cached_property
    def line_before(self) -> bytes:
        """The cursor's line up to the cursor."""
        return self.prefix[self.prefix.rfind(b"\n") + 1 :]

    @cached_property
    def rest(self) -> bytes:
        """The cursor's line from the cursor on."""
        return self.suffix.partition(b"\n")[0]

    @cached_property
    def is_within_line(self) -> bool:
        """Whether text follows on the cursor's line."""
        return bool(self.rest.strip())

    @cached_property
    def is_on_blank_line(self) -> bool:
        """Whether the cursor's line is blank."""
        return not self.line_before.strip() and not self.is_within_line

    @cached_property
    def below(self) -> bytes:
        """The text below the cursor's line, up to the end of the first line that is not blank."""
        text = self.suffix.partition(b"\n")[2]
        end = text.find(b"\n", len(text) - len(text.lstrip()))
        return text if end < 0 else text[: end + 1]

    @property
    def has_own_indentation(self) -> bool:
        """Whether the cursor's blank line is indented unlike the lines above and below: an opened line is like one."""
        above = self.prefix[: len(self.prefix) - len(self.line_before)].rstrip().rpartition(b"\n")[2]
        neighbours = (above, self.below.lstrip(b"\n"))
        indentations = [line[: indent_length(line)] for line in neighbours]
        return self.line_before not in [b"", *indentations]

    @property
    def is_beside_blank_line(self) -> bool:
        """Whether the line above or below the cursor's line is blank."""
        above = self.prefix[: len(self.prefix) - len(self.line_before)].removesuffix(b"\n")
        return not above.rpartition(b"\n")[2].strip() or not self.below.partition(b"\n")[0].strip()

    def cost_within_line(self, text: bytes) -> float:
        """Cost in bits of a text within a line and of the beginning of the rest of the line, which are one text."""
        return sum(self.gap_costs([text + (self.rest + b"\n")[:MAX_REST_BYTES]]))

    def costs_on_line(self, text: bytes) -> tuple[float, float]:
        """Cost in bits of a text up to the end of its line, and of the next line that is not blank, after it."""
        line, below = self.gap_costs([text.rstrip(b"\n") + self.rest + b"\n", self.below[:MAX_BELOW_BYTES]])
        return line, below

    def gain_below(self, line: bytes) -> float:
        """Bits by which the next line costs less after a missing line than where it stands.

        A blank line at the cursor was opened, and is left out; `line` and TYPICAL_LINES are equally probable instead of
        it (a log likelihood ratio). In a line with text, only `line` is, and the line's end has its cost, too.
        """
        if not self.is_on_blank_line:
            return sum(self.costs_on_line(b"")) - self.costs_on_line(line)[1]
        below_nothing = self.gap_costs([b"", self.below[:MAX_BELOW_BYTES]], len(self.line_before))[1]
        gains = [below_nothing - self.costs_on_line(missing)[1] for missing in (line, *TYPICAL_LINES)]
        return float(np.logaddexp2.reduce(gains)) - math.log2(len(gains))

    def leaves_blank(self, text: bytes) -> bool:
        """Whether a text leaves the cursor's line blank."""
        return self.is_on_blank_line and text.startswith(b"\n")

    def repeats(self, text: bytes) -> bool:
        """Whether the first or last line of a text is the next one that is not blank, indentation aside."""
        lines = text.strip().split(b"\n")
        return self.below.strip() in (lines[0].strip(), lines[-1].strip())

    def joins(self, text: bytes) -> bool:
        """Whether a text within a line leaves names and delimiters whole.

        A name that begins before the right-hand text and ends in it must be known. A bracket, quote or comment that
        the rest of the line closes must not be closed in the gap.
        """
        return self._joins_name(text) and self._leaves_closers(text)

    @property
    def name_middles(self) -> list[bytes]:
        """Texts that complete the name that the cursor splits to a known one; none outside of a name."""
        left, right = last_word(self.prefix[-MAX_NAME_BYTES:]), first_word(self.suffix[:MAX_NAME_BYTES])
        return self.known.name_middles(left, right) if left and right else []

    def _joins_name(self, text: bytes) -> bool:
        if not is_word_byte(self.suffix[0]):
            return True
        if self.prefix and is_word_byte(self.prefix[-1]) and not all(is_word_byte(byte) for byte in text):
            return False
        begin = last_word(self.prefix[-MAX_NAME_BYTES:] + text)
        return not begin or self.known.has_name(begin + first_word(self.suffix))

    def _leaves_closers(self, text: bytes) -> bool:
        outer = scan_delimiters(self.line_before)
        closed_behind = num_closed(outer, self.rest)
        return num_closed(outer, text) + closed_behind <= max(len(outer), closed_behind)
