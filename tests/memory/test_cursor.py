"""The cursor's account of a text."""

import numpy as np
import pytest

from cllm.memory.state import NUM_MATCHES
from cllm.memory.text import (
    BLOCK_COMMENT,
    FILE,
    FOLDER,
    INDENT,
    INDENT_BEFORE,
    LINE_COMMENT,
    NOT_QUOTED,
    PART,
    QUOTE,
    SHAPE,
    SHAPE_BEFORE,
    Cursor,
    advance,
    begin_text,
    new_cursor,
    place_hashes,
)


def behind(text: bytes, path: str = "") -> Cursor:
    cursor = new_cursor(NUM_MATCHES)
    begin_text(cursor, np.int64(0), place_hashes(path))
    for position, byte in enumerate(text):
        advance(cursor, np.int64(byte), np.int64(position))
    return cursor


@pytest.mark.parametrize("text", [b"read_cb", b"readCb", b"READ_CB", b"x = a.cb", b"read2_Cb", b"Cb", b"UV_readCb"])
def test_parts_of_names_are_the_same_however_they_are_joined(text: bytes) -> None:
    assert behind(text).hashes[PART] == behind(b"cb").hashes[PART] != 0


def test_a_part_ends_with_the_name() -> None:
    assert behind(b"read_cb ").hashes[PART] == 0
    assert behind(b"read_cb").hashes[PART] != behind(b"readcb").hashes[PART]


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
def test_what_a_text_is_inside_of(text: bytes, expected: int) -> None:
    assert behind(text).numbers[QUOTE] == expected


def test_the_line_above() -> None:
    above, cursor = behind(b"  if (x) {"), behind(b"  if (x) {\n    y")
    assert cursor.hashes[SHAPE_BEFORE] == above.hashes[SHAPE]
    assert cursor.numbers[INDENT_BEFORE] == above.numbers[INDENT] == 2
    assert behind(b"  if (abc) {").hashes[SHAPE] == above.hashes[SHAPE] != behind(b"  if x {").hashes[SHAPE]


def test_where_a_text_is_from() -> None:
    one, other = behind(b"", "src/a.c").hashes, behind(b"", "src/b.c").hashes
    assert one[FILE] != other[FILE]
    assert one[FOLDER] == other[FOLDER] != behind(b"", "a.c").hashes[FOLDER]
