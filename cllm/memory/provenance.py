"""Where written text comes from: which stretches of it stand verbatim in the repository, and where; the rest is new."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cllm.compiled import Array
from cllm.memory.index import Index, Source

LEAST_BYTES = 16  # of a stretch that is called a copy: shorter ones every two texts share
HEAD_BYTES = 2_000  # of a document, in which its licence is looked for
SPDX = re.compile(rb"SPDX-License-Identifier:([^\r\n]+)")
LICENCE_LINE = re.compile(rb"^.*(?:licen[cs]e|copyright).*$", re.I | re.M)
MOST_LICENCE_SIGNS = 120


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Bytes `begin` to `end` of a text that stand in a file, in lines `first_line` to `last_line`."""

    begin: int
    end: int
    path: str
    first_line: int
    last_line: int
    licence: str | None  # what the file's head says of one

    @property
    def place(self) -> str:
        lines = f"{self.first_line}" if self.first_line == self.last_line else f"{self.first_line}-{self.last_line}"
        return f"{self.path}:{lines}"


def stretches(index: Index, text: Array, before: bytes, written: bytes) -> list[Stretch]:
    """The copied stretches of what was written after `before`, in order.

    From the end on, each is the longest that stands in the repository; what stands before it decides between places.
    """
    whole = before + written
    found: list[Stretch] = []
    end = len(written)
    while end > 0:
        seen = index.longest(text, whole[: len(before) + end])
        length = min(seen.length, end)
        if length < LEAST_BYTES:
            end -= 1
            continue
        place = seen.places[0]
        source = index.source(place)
        assert source is not None
        found.append(stretch_at(text, source, place, end, length))
        end -= length
    return found[::-1]


def stretch_at(text: Array, source: Source, place: int, end: int, length: int) -> Stretch:
    """The stretch of `length` bytes before `end`, which stands before a place of the text."""
    first = source.first_line + text[source.begin : place - length].tobytes().count(b"\n")
    copied = text[place - length : place].tobytes()
    return Stretch(
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
    said = spdx[1] if spdx else line[0] if line else b""
    return said.decode("utf-8", "replace").strip(" \t\r*/#-;\"'")[:MOST_LICENCE_SIGNS] or None


def new_share(found: Sequence[Stretch], written: bytes) -> float:
    """The share of a text's bytes that no stretch covers; 0 of an empty text."""
    return 1 - sum(stretch.end - stretch.begin for stretch in found) / len(written) if written else 0.0
