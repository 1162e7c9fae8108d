"""Stopping criteria of a completion: the end of the line, the end of the block, or the token limit.

A blank line does not end a completion: with the cursor at the end of a line, the next line is completed. The block is
the one that the first line opens, or else the one around the cursor; outside any block, it is the first complete
construct.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from tree_sitter import Node

from cllm.corpus.newlines import CR, CRLF, LF
from cllm.generation.predict.prompt_text import encodable_length
from cllm.generation.predict.sampling import Until
from cllm.syntax.closing import nesting_levels
from cllm.syntax.error_count import complete_construct_end
from cllm.syntax.words import is_word_byte

# Learned texts have LF only, yet a network can generate any byte.
BLANK_LINE, LONE_CR = re.compile(rb"\r?\n\r?\n"), re.compile(rb"\r(?!\n)")


class StoppingCriteria:
    """Finds the offset at which a growing text ends."""

    def __init__(
        self,
        until: Until = "tokens",
        stop: Sequence[str] = (),
        language: str | None = None,
        prefix: bytes = b"",
        suffix: bytes = b"",
        encoding: str = "utf-8",
    ) -> None:
        """Set the criteria. Without a language that has a grammar, a block ends by its indentation.

        The bracket that closes the block around the cursor is left to the suffix, if there is one. The text ends before
        a character that `encoding` lacks.
        """
        self._encoding = encoding
        self._until, self._stop = until, [word.encode("utf-8", "surrogateescape") for word in stop]
        self._language, self._prefix, self._has_suffix = language, prefix, bool(suffix.strip())

    def stop_offset(self, generated: bytes, num_new_bytes: int) -> int | None:
        """Return the offset at which `generated` ends, or None; only its last `num_new_bytes` are unchecked."""
        generated = LONE_CR.sub(LF, generated) if CR in generated else generated
        offsets = [offset for offset in (generated.find(word) for word in self._stop) if offset >= 0]
        if self._until != "tokens" and b"\n" in generated[-num_new_bytes:]:
            found = line_end(generated) if self._until == "line" else self._block_end(generated)
            offsets += [found] if found is not None else []
        if not self._encoding.startswith("utf") and not generated[-num_new_bytes:].isascii():
            found = encodable_length(generated, self._encoding)
            offsets += [found] if found is not None else []
        end = min(offsets, default=None)
        return end - 1 if end and generated[end - 1 : end + 1] == CRLF else end

    def _block_end(self, generated: bytes) -> int | None:
        if self._language is None:
            return block_end_by_indentation(self._prefix, generated)
        if self._language == "Python":
            return indented_block_end(self._prefix, generated)
        begin = len(self._prefix)
        outer_level, leaves_with_levels = nesting_levels(self._language, self._prefix + generated, begin)
        construct_end = _construct_end(generated, begin, outer_level, leaves_with_levels)
        for word, level in leaves_with_levels:
            if level < outer_level:
                before, behind = word.start_byte - begin, word.end_byte - begin
                closed = len(generated[:before].rstrip()) if self._has_suffix else behind
                return closed if construct_end is None else min(construct_end, closed)
        if outer_level:
            return construct_end
        whole = complete_construct_end(self._language, self._prefix + generated, begin)
        is_closed = all(level == 0 for word, level in leaves_with_levels if word.end_byte == whole)
        return whole - begin if whole > begin and is_closed else None


def _construct_end(
    generated: bytes, begin: int, outer_level: int, leaves_with_levels: list[tuple[Node, int]]
) -> int | None:
    """Offset of the end of the first line that returns to the outer nesting level, after a line that exceeded it."""
    has_opened = False
    for (word, level), (following, _) in pairwise(leaves_with_levels):
        if following.start_point.row > word.end_point.row:
            if has_opened and level <= outer_level:
                return word.end_byte - begin
            has_opened |= level > outer_level
    if leaves_with_levels and has_opened and leaves_with_levels[-1][1] <= outer_level and generated.endswith(b"\n"):
        return leaves_with_levels[-1][0].end_byte - begin
    return None


def line_end(generated: bytes) -> int | None:
    """Return the offset of the end of the first line that is not blank, or None."""
    end = generated.find(b"\n", len(generated) - len(generated.lstrip()))
    return end if end >= 0 else None


def indented_block_end(prefix: bytes, generated: bytes) -> int | None:
    """Return the offset of the end of the Python block in `generated`, without its last newline; None if it goes on.

    If the first line ends with a colon or an open bracket, the block is what is indented deeper than the first line;
    otherwise it is what is indented at least as deep.
    """
    first = prefix.rpartition(b"\n")[2] + generated.lstrip(b"\n").partition(b"\n")[0]
    if not first.strip():
        return None
    depth = len(first) - len(first.lstrip())
    opens = first.rstrip().endswith((b":", b"(", b"[", b"{"))
    begin = generated.find(b"\n", len(generated) - len(generated.lstrip()))
    while begin >= 0:
        line = generated[begin + 1 :].partition(b"\n")[0]
        indent = len(line) - len(line.lstrip())
        is_closer = line.lstrip().startswith((b")", b"]", b"}"))
        if line.strip() and not is_closer and (indent < depth or (indent == depth and (opens or not depth))):
            return len(generated[:begin].rstrip())
        begin = generated.find(b"\n", begin + 1)
    return None


def block_end_by_indentation(prefix: bytes, generated: bytes) -> int | None:
    """Return the offset of the end of the block in a text of any kind, without its last newline; None if it goes on.

    The block is the first line with the deeper lines below it, and the line that closes them: one at the first line's
    depth, of one word or of punctuation (`end`, `fi`, `});`). Without deeper lines it is a paragraph.
    """
    begin = len(generated) - len(generated.lstrip(b"\r\n"))
    depth, has_opened, last = -1, False, begin  # `last`: the end of the last line that is not blank
    while (end := generated.find(b"\n", begin)) >= 0:
        before = prefix.rpartition(b"\n")[2] if b"\n" not in generated[:begin] else b""
        line = before + generated[begin:end]
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            if not has_opened and depth >= 0:
                return last
        elif depth < 0:
            depth = indent
        elif indent < depth or (indent == depth and has_opened):
            return end if indent == depth and is_closing_line(line) else last
        else:
            has_opened |= indent > depth
        last = end if line.strip() else last
        begin = end + 1
    return None


def is_closing_line(line: bytes) -> bool:
    """Whether a line is one word, or has none."""
    return line.strip().isalpha() or not any(is_word_byte(byte) for byte in line)
