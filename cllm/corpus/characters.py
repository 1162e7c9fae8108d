"""Boundaries of characters in UTF-8, and their length in UTF-16, in which editors count columns (LSP 3.17)."""

MAX_CONTINUATION_BYTES = 3


def is_continuation(byte: int) -> bool:
    """Whether a byte continues a character, in valid UTF-8."""
    return byte & 0xC0 == 0x80


def next_boundary(text: bytes, offset: int) -> int:
    """The first offset from `offset` on at which a character begins, or the text ends."""
    last = min(len(text), offset + MAX_CONTINUATION_BYTES)
    while offset < last and is_continuation(text[offset]):
        offset += 1
    return offset


def complete_length(text: bytes) -> int:
    """Length of a text without an incomplete character at its end."""
    for begin in range(len(text) - 1, max(-1, len(text) - 1 - MAX_CONTINUATION_BYTES), -1):
        if not is_continuation(text[begin]):
            return begin if len(text) - begin < _length_of_character(text[begin]) else len(text)
    return len(text)


def _length_of_character(first: int) -> int:
    """Number of bytes of the character that a byte begins (RFC 3629); 1 for bytes that begin none."""
    lengths = ((2, 0xC2, 0xDF), (3, 0xE0, 0xEF), (4, 0xF0, 0xF4))
    return next((length for length, low, high in lengths if low <= first <= high), 1)


def utf16_length(text: str) -> int:
    """Number of UTF-16 code units of a text: 2 for each character beyond U+FFFF, 1 for others."""
    return len(text) + sum(character > "\uffff" for character in text)


def index_of_utf16_unit(text: str, unit: int) -> int:
    """Index of the character that contains a UTF-16 code unit of a text; the text's length if it has no such unit."""
    num_units = 0
    for index, character in enumerate(text):
        num_units += utf16_length(character)
        if num_units > unit:
            return index
    return len(text)
