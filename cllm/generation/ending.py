"""Where a completion ends: with its line, with the block that it is in, or after so many tokens.

A line that is still blank does not end: at the end of a line, the next one is written. A block is the one that the
first line opens, or else the one that the cursor is in; outside of any it is the first construct that is whole.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from tree_sitter import Node

from cllm.syntax.closing import levels
from cllm.syntax.errors import complete_unit

Until = Literal["line", "block", "tokens"]


class Ending:
    """Says of what is written, as it grows, whether and where it ends."""

    def __init__(
        self,
        until: Until = "tokens",
        stop: Sequence[str] = (),
        language: str | None = None,
        prefix: bytes = b"",
        suffix: bytes = b"",
    ) -> None:
        """A block's end is found where the language has a grammar; elsewhere it is an empty line.

        The bracket that ends the block that the cursor is in is left to the suffix, if there is one.
        """
        self._until, self._stop = until, [word.encode("utf-8", "surrogateescape") for word in stop]
        self._language, self._prefix, self._is_inside = language, prefix, bool(suffix.strip())

    def place(self, written: bytes, new: int) -> int | None:
        """Offset at which `written` ends, of which the last `new` bytes were not asked about before; or None."""
        places = [place for place in (written.find(word) for word in self._stop) if place >= 0]
        if self._until != "tokens" and b"\n" in written[-new:]:
            found = line_end(written) if self._until == "line" else self._block_end(written)
            places += [found] if found is not None else []
        return min(places, default=None)

    def _block_end(self, written: bytes) -> int | None:
        if self._language is None:
            end = written.find(b"\n\n", len(written) - len(written.lstrip()))
            return end if end >= 0 else None
        if self._language == "Python":
            return indented_end(self._prefix, written)
        begin = len(self._prefix)
        outside, words = levels(self._language, self._prefix + written, begin)
        opened = _construct_end(written, begin, outside, words)
        for word, level in words:
            if level < outside:
                before, behind = word.start_byte - begin, word.end_byte - begin
                closed = len(written[:before].rstrip()) if self._is_inside else behind
                return closed if opened is None else min(opened, closed)
        if outside:
            return opened
        whole = complete_unit(self._language, self._prefix + written, begin)
        is_closed = all(level == 0 for word, level in words if word.end_byte == whole)
        return whole - begin if whole > begin and is_closed else None


def _construct_end(written: bytes, begin: int, outside: int, words: list[tuple[Node, int]]) -> int | None:
    """The end of the first line behind which as little is open as at first, after one behind which more was."""
    has_opened = False
    for (word, level), (following, _) in pairwise(words):
        if following.start_point.row > word.end_point.row:
            if has_opened and level <= outside:
                return word.end_byte - begin
            has_opened |= level > outside
    if words and has_opened and words[-1][1] <= outside and written.endswith(b"\n"):
        return words[-1][0].end_byte - begin
    return None


def line_end(written: bytes) -> int | None:
    """Offset of the end of the first line that is not blank."""
    end = written.find(b"\n", len(written) - len(written.lstrip()))
    return end if end >= 0 else None


def indented_end(prefix: bytes, written: bytes) -> int | None:
    """Where the first line begins, less the line end, that is no part of the block that is being written in Python.

    A line that ends with a colon opens a block, which is what is deeper than it; otherwise it is what is as deep.
    """
    first = prefix.rpartition(b"\n")[2] + written.lstrip(b"\n").partition(b"\n")[0]
    if not first.strip():
        return None
    depth = len(first) - len(first.lstrip())
    opens = first.rstrip().endswith((b":", b"(", b"[", b"{"))
    begin = written.find(b"\n", len(written) - len(written.lstrip()))
    while begin >= 0:
        line = written[begin + 1 :].partition(b"\n")[0]
        indent = len(line) - len(line.lstrip())
        is_closer = line.lstrip().startswith((b")", b"]", b"}"))
        if line.strip() and not is_closer and (indent < depth or (indent == depth and (opens or not depth))):
            return len(written[:begin].rstrip())
        begin = written.find(b"\n", begin + 1)
    return None
