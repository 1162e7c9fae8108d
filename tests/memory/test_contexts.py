"""Context hashes: two texts that differ in one feature differ in the contexts that are named after it, and in no other.

The other contexts see the same text: all that differs is more than 24 bytes before the end, or on earlier lines.
"""

import numpy as np
import pytest
from sample_memory import text_state_after

from cllm.jit.compiled import Array
from cllm.memory.mixer import contexts as c
from cllm.memory.mixer.indirect import NUM_INDIRECT_SLOTS, NUM_INDIRECT_TABLES
from cllm.memory.mixer.text_state import NODE, TOKEN_1, TOKEN_2, TOKEN_3, TextState

LINE = b"  first; second third word_of_more_than_24_bytes last_word_of_more_than_24_bytes"
ABOVE = b"  above ".ljust(len(LINE), b"x")  # the line above LINE, which is a little longer
TEXT = b"/* note */\nopen_file(mode, \n" + ABOVE + b"xxx\n" + LINE
INDIRECT = np.random.default_rng(0).integers(0, 1 << 32, (NUM_INDIRECT_TABLES, NUM_INDIRECT_SLOTS), np.uint32)

OF_QUOTE = {c.SUBWORD_QUOTE, c.SUBWORD_WORD_1, c.SHAPE_QUOTE, c.LENGTH_QUOTE, c.ORDER_2_QUOTE}
OF_INDENT = {c.WORD_INDENT, c.INDENTS_SHAPE, c.COLUMN_INDENT, c.LENGTH_INDENT}
OF_SHAPE = {c.WORD_SHAPE, c.SHAPE_ORDER_2, c.SHAPE_QUOTE, c.SHAPE_BRACKET, c.SHAPE_FIRST, c.SHAPES_0_1, c.SHAPE_LENGTH}
OF_WORD_BEFORE_BRACKET = {c.WORD_BRACKET, c.WORD_ARGUMENT}
OF_BRACKET = {*OF_WORD_BEFORE_BRACKET, c.SHAPE_BRACKET, c.SHAPE_LENGTH, c.BRACKET_DEPTH, c.LENGTH_INDENT}
OF_FILE = {c.WORD_FILE, c.SUBWORD_FILE, c.FILE_ORDER_3, c.FILE_ORDER_5}
OF_TOKEN_3 = {c.TOKENS_0_1_2_3}
OF_TOKEN_2 = OF_TOKEN_3 | {c.TOKENS_0_1_2}
OF_TOKENS_0_1 = OF_TOKEN_2 | {c.TOKENS_0_1}


def context_hashes(text: bytes, text_state: TextState) -> Array:
    hashes = np.zeros(c.NUM_CONTEXTS, np.uint64)
    content = np.frombuffer(text + b"\0", np.uint8).copy()
    c.set_contexts(hashes, INDIRECT, content, np.int64(len(text)), text_state)
    return hashes


def differing(one: Array, other: Array) -> set[int]:
    return set(np.flatnonzero(one != other).tolist())


@pytest.mark.parametrize(
    "old,new,expected",
    [
        pytest.param(b"*/", b"* ", OF_QUOTE, id="quote"),
        pytest.param(b"\n  first", b"\n   first", OF_INDENT, id="indentation"),
        pytest.param(b"\n  above", b"\n   above", {c.INDENTS_SHAPE}, id="indentation of the line above"),
        pytest.param(b"first;", b"first,", OF_SHAPE, id="shape"),
        pytest.param(b"above ", b"above:", {c.SHAPES_0_1, c.INDENTS_SHAPE}, id="shape of the line above"),
        pytest.param(
            b"first", b"prime", {c.WORD_FIRST, c.WORDS_0_1_FIRST, c.SHAPE_FIRST, c.FIRST_WORDS}, id="first word"
        ),
        pytest.param(b"above", b"older", {c.FIRST_WORDS}, id="first word of the line above"),
        pytest.param(
            b"d word_of", b"d name_of", {c.WORDS_0_1_FIRST, c.SUBWORD_WORD_1, c.INDIRECT_WORD}, id="word before"
        ),
        pytest.param(b"third", b"tenth", {c.WORDS_0_2, c.WORDS_0_2_3}, id="second word before"),
        pytest.param(b"second", b"minute", {c.WORDS_0_2_3}, id="third word before"),
        pytest.param(b"(", b"[", OF_BRACKET, id="bracket"),
        pytest.param(b"open_file", b"open_path", OF_WORD_BEFORE_BRACKET, id="word before the bracket"),
        pytest.param(b"mode,", b"mode ", {c.WORD_ARGUMENT}, id="argument"),
        pytest.param(
            b"xxx\n", b"yxx\n", {c.WORD_TWO_ABOVE, c.COLUMN_ABOVE, c.ORDER_3_ABOVE}, id="byte in the same column above"
        ),
        pytest.param(b"xxx\n", b"xyx\n", {c.WORD_TWO_ABOVE}, id="byte after the one above"),
    ],
)
def test_a_feature_of_the_text_changes_the_contexts_named_after_it(old: bytes, new: bytes, expected: set[int]) -> None:
    assert TEXT.count(old) == 1
    changed = TEXT.replace(old, new)
    hashes, others = (context_hashes(text, text_state_after(text)) for text in (TEXT, changed))
    assert differing(hashes, others) == expected


@pytest.mark.parametrize(
    "path,expected",
    [("src/a.c", set()), ("src/b.c", OF_FILE), ("lib/a.c", OF_FILE | {c.WORD_FOLDER})],
)
def test_the_path_changes_the_contexts_of_file_and_folder(path: str, expected: set[int]) -> None:
    hashes, others = (context_hashes(TEXT, text_state_after(TEXT, each)) for each in ("src/a.c", path))
    assert differing(hashes, others) == expected


@pytest.mark.parametrize(
    "index,expected", [(None, OF_TOKENS_0_1), (TOKEN_1, OF_TOKENS_0_1), (TOKEN_2, OF_TOKEN_2), (TOKEN_3, OF_TOKEN_3)]
)
def test_a_token_changes_the_contexts_of_tokens_that_reach_it(index: int | None, expected: set[int]) -> None:
    text_state, other = text_state_after(TEXT), text_state_after(TEXT)
    if index is None:
        other.numbers[NODE] = 1
    else:
        other.hashes[index] = 1
    assert differing(context_hashes(TEXT, text_state), context_hashes(TEXT, other)) == expected


@pytest.mark.parametrize("order", c.ORDERS)
def test_an_order_hashes_its_last_bytes_only(order: int) -> None:
    index = c.ORDER_1 + c.ORDERS.index(order)
    inside, outside = bytearray(TEXT), bytearray(TEXT)
    inside[-order], outside[-order - 1] = ord("!"), ord("!")
    hashes, changed, same = (context_hashes(bytes(text), text_state_after(TEXT)) for text in (TEXT, inside, outside))
    assert hashes[index] != changed[index]
    assert hashes[index] == same[index]
