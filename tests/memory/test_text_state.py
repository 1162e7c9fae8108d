"""The text state: parts of names, quotes and comments, the line above, and the path."""

import numpy as np
import pytest

from cllm.memory.mixer.state import NUM_MATCHES
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
    TextState,
    advance,
    new_text_state,
    path_hashes,
    reset_text_state,
)


def state_after(text: bytes, path: str = "") -> TextState:
    text_state = new_text_state(NUM_MATCHES)
    reset_text_state(text_state, np.int64(0), path_hashes(path))
    for position, byte in enumerate(text):
        advance(text_state, np.int64(byte), np.int64(position))
    return text_state


@pytest.mark.parametrize("text", [b"read_cb", b"readCb", b"READ_CB", b"x = a.cb", b"read2_Cb", b"Cb", b"UV_readCb"])
def test_subword_hash_is_independent_of_case_and_separator(text: bytes) -> None:
    assert state_after(text).hashes[SUBWORD] == state_after(b"cb").hashes[SUBWORD] != 0


def test_subword_ends_with_the_word() -> None:
    assert state_after(b"read_cb ").hashes[SUBWORD] == 0
    assert state_after(b"read_cb").hashes[SUBWORD] != state_after(b"readcb").hashes[SUBWORD]


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
def test_open_quote_or_comment_is_tracked(text: bytes, expected: int) -> None:
    assert state_after(text).numbers[QUOTE] == expected


def test_shape_and_indent_of_the_line_above_are_kept() -> None:
    above, text_state = state_after(b"  if (x) {"), state_after(b"  if (x) {\n    y")
    assert text_state.hashes[SHAPE_BEFORE] == above.hashes[SHAPE]
    assert text_state.numbers[INDENT_BEFORE] == above.numbers[INDENT] == 2
    assert state_after(b"  if (abc) {").hashes[SHAPE] == above.hashes[SHAPE] != state_after(b"  if x {").hashes[SHAPE]


def test_path_hashes_of_file_and_folder() -> None:
    one, other = state_after(b"", "src/a.c").hashes, state_after(b"", "src/b.c").hashes
    assert one[FILE] != other[FILE]
    assert one[FOLDER] == other[FOLDER] != state_after(b"", "a.c").hashes[FOLDER]
