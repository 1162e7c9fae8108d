"""Where a text was seen: documents one after another, and their places sorted by what stands before them.

What came later is a segment of its own, sorted by itself, so that a changed document is known in milliseconds; one that
is gone is not looked up any more.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array
from cllm.memory.index.suffix_array import build_suffix_array, longest_suffix_range, suffix_range

MAX_CONTEXT_BYTES = 4096  # bytes that are compared
MAX_POSITIONS = 64  # that are given of those after one context


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document at `begin` to `end` of the text: a file of this content, or its lines from `first_line` on."""

    path: str
    sha256: str
    begin: int
    end: int
    first_line: int = 1
    is_stale: bool = False  # since it was read


class Segment(NamedTuple):
    """The text from `begin` on, as long as `suffix_array`: its places, sorted (`suffix_array`)."""

    begin: int
    suffix_array: Array


class ContextMatch(NamedTuple):
    """A context of `length` bytes was seen before these places of the text; the latest come first."""

    length: int
    positions: list[int]


class Index:
    """Looks up contexts in the documents of a text, which its owner hands in: it may move as it grows."""

    def __init__(self, segments: Sequence[Segment] = (), sources: Sequence[Source] = ()) -> None:
        self.segments = list(segments)
        self.sources = list(sources)  # in the order of the text

    def add_segment(self, text: Array, begin: int, end: int) -> None:
        """Index a stretch of the text, which comes after all that was indexed."""
        self.segments.append(Segment(begin, build_suffix_array(text[begin:end])))

    def mark_stale(self, path: str) -> None:
        """A file is gone, or has another content now."""
        for number, source in enumerate(self.sources):
            if source.path == path:
                self.sources[number] = replace(source, is_stale=True)

    def source_at(self, position: int) -> Source | None:
        """The document that a place of the text lies in, or ends; None outside of all."""
        number = bisect_right(self.sources, position, key=lambda source: source.begin)
        found = self.sources[number - 1] if number else None
        return found if found is not None and position <= found.end else None

    def longest_match(self, text: Array, context: bytes) -> ContextMatch:
        """The longest end of a context that was seen in a document which is still there."""
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
                # Only documents that are gone have it: try what is next longest.
                length -= 1
                found = suffix_range(segment_text, segment.suffix_array, query, length)
        return best

    def positions(self, text: Array, context: bytes, length: int) -> list[int]:
        """Places after the last `length` bytes of a context, in documents that are still there; some, if many."""
        query = np.frombuffer(context[-MAX_CONTEXT_BYTES:], np.uint8)
        found: list[int] = []
        for segment in self.segments:
            segment_text = text[segment.begin : segment.begin + len(segment.suffix_array)]
            range_ = suffix_range(segment_text, segment.suffix_array, query, length)
            found += self._live_positions(segment, range_.low, range_.high, length)
        return found

    def count_suffixes(self, text: Array, context: bytes) -> list[int]:
        """How many times each end of a context was seen, from its last byte alone to as long as any; gone or not."""
        query = np.frombuffer(context[-MAX_CONTEXT_BYTES:], np.uint8)
        counts: list[int] = []
        for segment in self.segments:
            segment_text = text[segment.begin : segment.begin + len(segment.suffix_array)]
            for length in range(1, longest_suffix_range(segment_text, segment.suffix_array, query).length + 1):
                found = suffix_range(segment_text, segment.suffix_array, query, length)
                counts += [0] * (length - len(counts))
                counts[length - 1] += found.high - found.low
        return counts

    def _live_positions(self, segment: Segment, low: int, high: int, length: int) -> Iterator[int]:
        """Places of a segment's stretch that lie in a document, with the whole context: some, if there are many."""
        for position in segment.suffix_array[low : min(high, low + MAX_POSITIONS)].tolist():
            source = self.source_at(segment.begin + position)
            if source is not None and not source.is_stale and position + segment.begin - length >= source.begin:
                yield segment.begin + position
