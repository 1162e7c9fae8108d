"""Words and indentation of a byte string, in any language: a word is a run of letters, digits and underscores."""

from collections.abc import Iterator


def is_word_byte(byte: int) -> bool:
    """Return whether a byte belongs to a word; all bytes of non-ASCII characters do."""
    return byte >= 0x80 or byte == 0x5F or chr(byte).isalnum()


def word_ends(text: bytes) -> Iterator[int]:
    """Yield the end offsets of words and punctuation characters, last to first."""
    for end in range(len(text), 0, -1):
        is_within = end < len(text) and is_word_byte(text[end - 1]) and is_word_byte(text[end])
        if not is_within and not text[end - 1 : end].isspace():
            yield end


def first_word(text: bytes) -> bytes:
    """The letters, digits and underscores at the start of a text."""
    end = next((index for index, byte in enumerate(text) if not is_word_byte(byte)), len(text))
    return text[:end]


def last_word(text: bytes) -> bytes:
    """The letters, digits and underscores at the end of a text."""
    begin = len(text)
    while begin and is_word_byte(text[begin - 1]):
        begin -= 1
    return text[begin:]


def indent_length(line: bytes) -> int:
    """Number of blanks and tabs at the start of a line."""
    return len(line) - len(line.lstrip(b" \t"))
