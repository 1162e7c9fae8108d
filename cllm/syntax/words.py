"""Words of a text in bytes, in any language: letters, digits and underscores stand together."""

from collections.abc import Iterator


def is_word_byte(byte: int) -> bool:
    """Whether a byte is of a word; those of a character beyond ASCII are."""
    return byte >= 0x80 or byte == 0x5F or chr(byte).isalnum()


def word_ends(text: bytes) -> Iterator[int]:
    """Where words and signs end, from the last to the first."""
    for end in range(len(text), 0, -1):
        is_within = end < len(text) and is_word_byte(text[end - 1]) and is_word_byte(text[end])
        if not is_within and not text[end - 1 : end].isspace():
            yield end
