"""Positions in a text: lines and columns to byte offsets, and back.

A line ends with LF, CRLF or CR alone, as in the scan and in editors; a position is never between CR and LF. Columns
count code points (`offset_at`), or UTF-16 code units from 0, as editors do (`offset_at_utf16`, LSP 3.17). A byte that
is not UTF-8 counts as one.
"""

from cllm.corpus.characters import index_of_utf16_unit, utf16_length
from cllm.corpus.newlines import CR, CRLF, LINE_END


def lines_of(text: bytes) -> list[tuple[int, int]]:
    """Begin and end of each line in bytes, without its line end; a text that ends with one has an empty last line."""
    ends = [(found.start(), found.end()) for found in LINE_END.finditer(text)]
    begins, contents = [0, *(end for _, end in ends)], [*(begin for begin, _ in ends), len(text)]
    return list(zip(begins, contents, strict=True))


def offset_at(text: bytes, begin: int, end: int, column: int) -> int | None:
    """Byte offset before a column (code points, from 1) of the line from `begin` to `end`; None if it has no such."""
    content = _decoded(text[begin:end])
    return None if column > len(content) + 1 else begin + len(_encoded(content[: column - 1]))


def position_at(text: bytes, offset: int) -> tuple[int, int]:
    """Line and column in code points of a byte offset, both from 1; one inside of a character is at its beginning."""
    line, content = _line_and_content(text, offset)
    return line + 1, len(content) + 1


def offset_at_utf16(text: bytes, line: int, unit: int) -> int:
    """Byte offset of a line and a UTF-16 code unit, both from 0.

    As in LSP 3.17, a unit beyond the line's end is at its end; a line beyond the text's end is at the text's end. A
    unit inside of a surrogate pair is at the beginning of the character.
    """
    lines = lines_of(text)
    if line >= len(lines):
        return len(text)
    begin, end = lines[line]
    content = _decoded(text[begin:end])
    return begin + len(_encoded(content[: index_of_utf16_unit(content, unit)]))


def position_at_utf16(text: bytes, offset: int) -> tuple[int, int]:
    """Line and UTF-16 code unit of a byte offset, both from 0; see `position_at`."""
    line, content = _line_and_content(text, offset)
    return line, utf16_length(content)


def _line_and_content(text: bytes, offset: int) -> tuple[int, str]:
    """Number of lines before an offset, and the text of its line before it."""
    offset -= text[offset - 1 : offset + 1] == CRLF
    before = text[:offset]
    begin = max(before.rfind(b"\n"), before.rfind(CR)) + 1
    num_lines = sum(1 for _ in LINE_END.finditer(before))
    return num_lines, _decoded(text[begin:offset])


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _encoded(content: str) -> bytes:
    return content.encode("utf-8", "surrogateescape")
