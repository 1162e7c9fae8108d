"""Where a text was seen: documents one after another, and their places sorted by what stands before them.

What came later is a segment of its own, sorted by itself, so that a changed document is known in milliseconds; one that
is gone is not looked up any more.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cllm.compiled import Array
from cllm.memory.suffixes import find, find_end, sorted_places

LONGEST_CONTEXT = 4096  # bytes that are compared
MOST_PLACES = 64  # that are given of those after one context


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document at `begin` to `end` of the text: a file of this content, or its lines from `first_line` on."""

    path: str
    sha256: str
    begin: int
    end: int
    first_line: int = 1
    gone: bool = False  # since it was read


class Segment(NamedTuple):
    """The text from `begin` on, as long as `order`: its places, sorted (`suffixes`)."""

    begin: int
    order: Array


class Seen(NamedTuple):
    """A context of `length` bytes was seen before these places of the text; the latest come first."""

    length: int
    places: list[int]


class Index:
    """Looks up contexts in the documents of a text, which its owner hands in: it may move as it grows."""

    def __init__(self, segments: Sequence[Segment] = (), sources: Sequence[Source] = ()) -> None:
        self.segments = list(segments)
        self.sources = list(sources)  # in the order of the text

    def sort(self, text: Array, begin: int, end: int) -> None:
        """Index a stretch of the text, which comes after all that was indexed."""
        self.segments.append(Segment(begin, sorted_places(text[begin:end])))

    def forget(self, path: str) -> None:
        """A file is gone, or has another content now."""
        for number, source in enumerate(self.sources):
            if source.path == path:
                self.sources[number] = replace(source, gone=True)

    def source(self, place: int) -> Source | None:
        """The document that a place of the text lies in, or ends; None outside of all."""
        number = bisect_right(self.sources, place, key=lambda source: source.begin)
        found = self.sources[number - 1] if number else None
        return found if found is not None and place <= found.end else None

    def longest(self, text: Array, context: bytes) -> Seen:
        """The longest end of a context that was seen in a document which is still there."""
        sought = np.frombuffer(context[-LONGEST_CONTEXT:], np.uint8)
        best = Seen(0, [])
        for segment in self.segments:
            part = text[segment.begin : segment.begin + len(segment.order)]
            found = find(part, segment.order, sought)
            length = found.length
            while length > best.length:
                places = list(self._alive(segment, found.low, found.high, length))
                if places:
                    best = Seen(length, sorted(places, reverse=True))
                    break
                # Only documents that are gone have it: try what is next longest.
                length -= 1
                found = find_end(part, segment.order, sought, length)
        return best

    def places(self, text: Array, context: bytes, length: int) -> list[int]:
        """Places after the last `length` bytes of a context, in documents that are still there; some, if many."""
        sought = np.frombuffer(context[-LONGEST_CONTEXT:], np.uint8)
        found: list[int] = []
        for segment in self.segments:
            part = text[segment.begin : segment.begin + len(segment.order)]
            there = find_end(part, segment.order, sought, length)
            found += self._alive(segment, there.low, there.high, length)
        return found

    def count(self, text: Array, context: bytes) -> list[int]:
        """How many times each end of a context was seen, from its last byte alone to as long as any; gone or not."""
        sought = np.frombuffer(context[-LONGEST_CONTEXT:], np.uint8)
        counts: list[int] = []
        for segment in self.segments:
            part = text[segment.begin : segment.begin + len(segment.order)]
            for length in range(1, find(part, segment.order, sought).length + 1):
                found = find_end(part, segment.order, sought, length)
                counts += [0] * (length - len(counts))
                counts[length - 1] += found.high - found.low
        return counts

    def _alive(self, segment: Segment, low: int, high: int, length: int) -> Iterator[int]:
        """Places of a segment's stretch that lie in a document, with the whole context: some, if there are many."""
        for place in segment.order[low : min(high, low + MOST_PLACES)].tolist():
            source = self.source(segment.begin + place)
            if source is not None and not source.gone and place + segment.begin - length >= source.begin:
                yield segment.begin + place
