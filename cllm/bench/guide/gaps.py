"""Gaps in real files: a range of bytes that is removed, with the text on its left and, or not, on its right.

Every kind of gap occurs equally often, half of them with the text on the right. A gap begins at a random byte of a
file, never inside a character.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cllm.corpus.characters import is_continuation

Kind = Literal["rest_of_line", "inside_line", "lines"]

MAX_LINES = 5  # line ends in a gap of several lines
MAX_DRAWS = 100  # for each gap that is found, before its texts count as blank
# A gap inside a line without the text on its right would be the rest of a line that was cut.
KINDS: tuple[tuple[Kind, bool], ...] = (
    ("rest_of_line", True),
    ("rest_of_line", False),
    ("inside_line", True),
    ("lines", False),
    ("lines", True),
    ("rest_of_line", False),
)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The bytes from `begin` to `end` of text number `text`; `has_suffix`: the text after it is given."""

    text: int
    begin: int
    end: int
    kind: Kind
    has_suffix: bool


def draw_gaps(texts: Sequence[bytes], count: int, seed: int) -> list[Gap]:
    """Sample `count` gaps, uniformly over the bytes of the texts, none of them blank; fewer if they are all blank."""
    generator, ends = np.random.default_rng(seed), np.cumsum([len(text) for text in texts])
    gaps: list[Gap] = []
    for _ in range(MAX_DRAWS * count):
        if len(gaps) == count or not len(ends) or not ends[-1]:
            break
        offset = int(generator.integers(ends[-1]))
        number = int(np.searchsorted(ends, offset, "right"))
        begin = offset - int(ends[number]) + len(texts[number])
        kind, has_suffix = KINDS[len(gaps) % len(KINDS)]
        end = _end_of(texts[number], begin, kind, generator)
        if texts[number][begin:end].strip() and not _is_inside_character(texts[number], begin):
            gaps.append(Gap(text=number, begin=begin, end=end, kind=kind, has_suffix=has_suffix))
    return gaps


def _end_of(text: bytes, begin: int, kind: Kind, generator: np.random.Generator) -> int:
    """The end of a gap of a kind that begins at a byte: that of its line, inside it, or that of a later line."""
    end = _line_end(text, begin)
    if kind == "inside_line" and end - begin > 1:
        end = int(generator.integers(begin + 1, end))
        while _is_inside_character(text, end):
            end += 1
    elif kind == "lines":
        for _ in range(int(generator.integers(1, MAX_LINES + 1))):
            end = _line_end(text, min(end + 1, len(text)))
    return end


def _line_end(text: bytes, begin: int) -> int:
    end = text.find(b"\n", begin)
    return len(text) if end < 0 else end


def _is_inside_character(text: bytes, offset: int) -> bool:
    return offset < len(text) and is_continuation(text[offset])
