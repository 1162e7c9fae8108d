"""The shape of a line: the brackets that it opens or closes, and whether a block begins after it.

If a file has no errors with some line at the cursor but has without, then every line that fits there leaves the same
brackets open: it holds for 233 of 234 deleted lines of three repositories. So most lines that do not fit are told
without parsing the file, and those that may fit are decoded first.
"""

import re
from typing import NamedTuple

from cllm.syntax.delimiters import BRACKETS

STRING = re.compile(rb"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'")
ESCAPED = re.compile(rb"\\.")
FINAL_COLON = re.compile(rb":[ \t]*(?:#.*)?$", re.MULTILINE)


class LineShape(NamedTuple):
    """Brackets that a text opens, less those that it closes, and lines that end with a colon."""

    braces: int
    parentheses: int
    brackets: int
    colons: int

    @property
    def opens_something(self) -> bool:
        """Whether what the text opens goes on below it."""
        return any(part > 0 for part in self)

    @property
    def opens_brackets(self) -> bool:
        """Whether a bracket stays open."""
        return any(part > 0 for part in self[:-1])


PLAIN = LineShape(0, 0, 0, 0)


def shape_of(text: bytes) -> LineShape:
    """The shape of a text. Brackets in strings and comments count, too."""
    braces, parentheses, brackets = (text.count(opener) - text.count(closer) for opener, closer in BRACKETS)
    return LineShape(braces, parentheses, brackets, len(FINAL_COLON.findall(text)))


def may_have_brackets_of(text: bytes, needed: LineShape) -> bool:
    """Whether a text has the brackets of a shape, with or without those in its strings and regular expressions."""
    readings = (text, STRING.sub(b"", text), ESCAPED.sub(b"", text))
    return any(shape_of(reading)[:-1] == needed[:-1] for reading in readings)


def leads_to(part: bytes, needed: LineShape) -> bool:
    """Whether a part of a line opens or closes something that a line of the needed shape does."""
    return any(found * wanted > 0 for found, wanted in zip(shape_of(part), needed, strict=True))
