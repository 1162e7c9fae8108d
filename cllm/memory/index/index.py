"""Index of concatenated documents: looks up where a context occurs, by suffix arrays of the reversed text.

Text that is added later gets a segment with a suffix array of its own, so that a changed document is indexed in
milliseconds. Documents that are removed or changed are marked as stale and skipped.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array
from cllm.memory.index.suffix_array import build_suffix_array, longest_suffix_range, suffix_range

MAX_CONTEXT_BYTES = 4096  # of a context that are compared
MAX_POSITIONS = 64  # returned per context and segment


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document at `begin` to `end` of the text: a file with this SHA-256, or its lines from `first_line` on."""

    path: str
    sha256: str
    begin: int
    end: int
    first_line: int = 1
    is_stale: bool = False  # removed or changed since it was indexed


class Segment(NamedTuple):
    """The N bytes of text from `begin` on, and their `suffix_array` (N,) int32, relative to `begin`."""

    begin: int
    suffix_array: Array


class ContextMatch(NamedTuple):
    """The positions of the text that are preceded by the same `length` bytes; the latest come first."""

    length: int
    positions: list[int]


class Index:
    """Looks up contexts in a text (N,) uint8, which is passed to each call because its buffer moves as it grows."""

    def __init__(self, segments: Sequence[Segment] = (), sources: Sequence[Source] = ()) -> None:
        self.segments = list(segments)
        self.sources = list(sources)  # in the order of the text

    def add_segment(self, text: Array, begin: int, end: int) -> None:
        """Index `begin` to `end` of the text as a new segment, after all that is indexed."""
        self.segments.append(Segment(begin, build_suffix_array(text[begin:end])))

    def mark_stale(self, path: str) -> None:
        """Mark the sources of a file that was removed or changed as stale."""
        for number, source in enumerate(self.sources):
            if source.path == path:
                self.sources[number] = replace(source, is_stale=True)

    def source_at(self, position: int) -> Source | None:
        """The source with `begin` <= position <= `end`; None if there is none."""
        number = bisect_right(self.sources, position, key=lambda source: source.begin)
        found = self.sources[number - 1] if number else None
        return found if found is not None and position <= found.end else None

    def longest_match(self, text: Array, context: bytes) -> ContextMatch:
        """The longest suffix of a context that occurs in a document that is not stale, and where."""
        query = np.frombuffer(context[-MAX_CONTEXT_BYTES:], np.uint8)
        best = ContextMatch(0, [])
        for segment in self.segments:
            segment_text = text[segment.begin : segment.begin + len(segment.suffix_array)]
            found = longest_suffix_range(segment_text, segment.suffix_array, query)
            length = found.length
            while length > best.length:
                positions = list(self._live_positions(segment, found.low, found.high, length))
                if positions:
                    best = ContextMatch(length, sorted(positions, reverse=True))
                    break
                # It occurs only in stale documents: try a suffix that is one byte shorter.
                length -= 1
                found = suffix_range(segment_text, segment.suffix_array, query, length)
        return best

    def positions(self, text: Array, context: bytes, length: int) -> list[int]:
        """Positions after the last `length` bytes of a context, in documents that are not stale.

        At most MAX_POSITIONS of each segment.
        """
        query = np.frombuffer(context[-MAX_CONTEXT_BYTES:], np.uint8)
        found: list[int] = []
        for segment in self.segments:
            segment_text = text[segment.begin : segment.begin + len(segment.suffix_array)]
            range_ = suffix_range(segment_text, segment.suffix_array, query, length)
            found += self._live_positions(segment, range_.low, range_.high, length)
        return found

    def _live_positions(self, segment: Segment, low: int, high: int, length: int) -> Iterator[int]:
        """Positions of a suffix-array range whose whole context lies in one document that is not stale.

        Of the range, at most MAX_POSITIONS are considered.
        """
        for position in segment.suffix_array[low : min(high, low + MAX_POSITIONS)].tolist():
            source = self.source_at(segment.begin + position)
            if source is not None and not source.is_stale and position + segment.begin - length >= source.begin:
                yield segment.begin + position
