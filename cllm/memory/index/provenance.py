"""Provenance of generated text: which spans are verbatim copies from the repository, and from where."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cllm.jit.compiled import Array
from cllm.memory.index.index import Index, Source

MIN_COPY_BYTES = 16  # of a span that counts as a copy: any two texts share shorter ones
HEAD_BYTES = 2_000  # of a document that are searched for a licence
SPDX = re.compile(rb"SPDX-License-Identifier:([^\r\n]+)")
LICENCE_LINE = re.compile(rb"^.*(?:licen[cs]e|copyright).*$", re.I | re.M)
MAX_LICENCE_CHARS = 120


@dataclass(frozen=True, kw_only=True)
class CopiedSpan:
    """Bytes `begin` to `end` of a text that also occur in a file, at lines `first_line` to `last_line`."""

    begin: int
    end: int
    path: str
    first_line: int
    last_line: int
    licence: str | None  # as found by `licence_of`

    @property
    def location(self) -> str:
        lines = f"{self.first_line}" if self.first_line == self.last_line else f"{self.first_line}-{self.last_line}"
        return f"{self.path}:{lines}"


def find_copied_spans(index: Index, text: Array, before: bytes, completion: bytes) -> list[CopiedSpan]:
    """The copied spans of a completion after `before`, in order; `text` (N,) uint8 is the indexed text.

    Greedy from the end: each span is the longest that occurs in the repository; the text before it decides between
    several occurrences.
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
    """The copied span of `length` bytes before `end`, which equal those before `place` in the text (N,) uint8."""
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
    """The licence in a document's first bytes: its SPDX identifier, else the first line on licence or copyright.

    None if there is neither.
    """
    spdx, line = SPDX.search(head), LICENCE_LINE.search(head)
    matched = spdx[1] if spdx else line[0] if line else b""
    return matched.decode("utf-8", "replace").strip(" \t\r*/#-;\"'")[:MAX_LICENCE_CHARS] or None


def new_share(found: Sequence[CopiedSpan], completion: bytes) -> float:
    """Fraction of a completion's bytes that no span covers; 0 if it is empty."""
    return 1 - sum(span.end - span.begin for span in found) / len(completion) if completion else 0.0
