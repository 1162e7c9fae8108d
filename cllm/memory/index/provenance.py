"""Where written text comes from: which stretches of it stand verbatim in the repository, and where; the rest is new."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cllm.jit.compiled import Array
from cllm.memory.index.index import Index, Source

MIN_COPY_BYTES = 16  # of a stretch that is called a copy: shorter ones every two texts share
HEAD_BYTES = 2_000  # of a document, in which its licence is looked for
SPDX = re.compile(rb"SPDX-License-Identifier:([^\r\n]+)")
LICENCE_LINE = re.compile(rb"^.*(?:licen[cs]e|copyright).*$", re.I | re.M)
MAX_LICENCE_CHARS = 120


@dataclass(frozen=True, kw_only=True)
class CopiedSpan:
    """Bytes `begin` to `end` of a text that stand in a file, in lines `first_line` to `last_line`."""

    begin: int
    end: int
    path: str
    first_line: int
    last_line: int
    licence: str | None  # what the file's head says of one

    @property
    def location(self) -> str:
        lines = f"{self.first_line}" if self.first_line == self.last_line else f"{self.first_line}-{self.last_line}"
        return f"{self.path}:{lines}"


def find_copied_spans(index: Index, text: Array, before: bytes, completion: bytes) -> list[CopiedSpan]:
    """The copied stretches of what was written after `before`, in order.

    From the end on, each is the longest that stands in the repository; what stands before it decides between places.
    """
    whole = before + completion
    found: list[CopiedSpan] = []
    end = len(completion)
    while end > 0:
        seen = index.longest_match(text, whole[: len(before) + end])
        length = min(seen.length, end)
        if length < MIN_COPY_BYTES:
            end -= 1
            continue
        place = seen.positions[0]
        source = index.source_at(place)
        assert source is not None
        found.append(copied_span_at(text, source, place, end, length))
        end -= length
    return found[::-1]


def copied_span_at(text: Array, source: Source, place: int, end: int, length: int) -> CopiedSpan:
    """The stretch of `length` bytes before `end`, which stands before a place of the text."""
    first = source.first_line + text[source.begin : place - length].tobytes().count(b"\n")
    copied = text[place - length : place].tobytes()
    return CopiedSpan(
        begin=end - length,
        end=end,
        path=source.path,
        first_line=first,
        last_line=first + copied.removesuffix(b"\n").count(b"\n"),
        licence=licence_of(text[source.begin : min(source.end, source.begin + HEAD_BYTES)].tobytes()),
    )


def licence_of(head: bytes) -> str | None:
    """What a document's first lines say of a licence: its SPDX name, or the line that speaks of one or of copyright."""
    spdx, line = SPDX.search(head), LICENCE_LINE.search(head)
    matched = spdx[1] if spdx else line[0] if line else b""
    return matched.decode("utf-8", "replace").strip(" \t\r*/#-;\"'")[:MAX_LICENCE_CHARS] or None


def new_share(found: Sequence[CopiedSpan], completion: bytes) -> float:
    """The share of a text's bytes that no stretch covers; 0 of an empty text."""
    return 1 - sum(span.end - span.begin for span in found) / len(completion) if completion else 0.0
