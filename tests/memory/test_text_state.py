"""The state of a text before the next byte."""

import pytest
from sample_memory import text_state_after

from cllm.memory.mixer.text_state import (
    BLOCK_COMMENT,
    FILE,
    FOLDER,
    INDENT,
    INDENT_BEFORE,
    LINE_COMMENT,
    NOT_QUOTED,
    QUOTE,
    SHAPE,
    SHAPE_BEFORE,
    SUBWORD,
)


@pytest.mark.parametrize("text", [b"read_cb", b"readCb", b"READ_CB", b"x = a.cb", b"read2_Cb", b"Cb", b"UV_readCb"])
def test_subwords_are_equal_in_all_naming_conventions(text: bytes) -> None:
    assert text_state_after(text).hashes[SUBWORD] == text_state_after(b"cb").hashes[SUBWORD] != 0


def test_a_subword_ends_with_its_word() -> None:
    assert text_state_after(b"read_cb ").hashes[SUBWORD] == 0
    assert text_state_after(b"read_cb").hashes[SUBWORD] != text_state_after(b"readcb").hashes[SUBWORD]


@pytest.mark.parametrize(
    "text,expected",
    [
        (b'x = "it', 34),
        (b'x = "it"', NOT_QUOTED),
        (b'x = "a\\"b', 34),
        (b"x = 'it", 39),
        (b'x = "it\n', NOT_QUOTED),
        (b"x = `it\n", 96),
        (b"# it's", LINE_COMMENT),
        (b"// it's", LINE_COMMENT),
        (b"// it's\nx", NOT_QUOTED),
        (b"/* it's\n a", BLOCK_COMMENT),
        (b"/* it */ x", NOT_QUOTED),
        (b"a / b", NOT_QUOTED),
    ],
)
def test_kind_of_open_quote_or_comment(text: bytes, expected: int) -> None:
    assert text_state_after(text).numbers[QUOTE] == expected


def test_shape_and_indentation_of_the_line_above() -> None:
    above, text_state = text_state_after(b"  if (x) {"), text_state_after(b"  if (x) {\n    y")
    assert text_state.hashes[SHAPE_BEFORE] == above.hashes[SHAPE]
    assert text_state.numbers[INDENT_BEFORE] == above.numbers[INDENT] == 2
    assert (
        text_state_after(b"  if (abc) {").hashes[SHAPE]
        == above.hashes[SHAPE]
        != text_state_after(b"  if x {").hashes[SHAPE]
    )


def test_hashes_of_file_and_folder() -> None:
    one, other = text_state_after(b"", "src/a.c").hashes, text_state_after(b"", "src/b.c").hashes
    assert one[FILE] != other[FILE]
    assert one[FOLDER] == other[FOLDER] != text_state_after(b"", "a.c").hashes[FOLDER]
