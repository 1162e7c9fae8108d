"""The C = 45 contexts of the next byte: one hash each, computed from the text before it.

A context predicts what followed its earlier occurrences. Short contexts are frequent and uncertain, long ones rare and
certain; those of words, lines, brackets and tokens add what plain orders miss. The mixers weigh them.
"""

from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.indirect import (
    BYTE_PAIR,
    LAST_WORD,
    byte_pair_slot,
    word_slot,
)
from cllm.memory.mixer.text_state import (
    BRACKET,
    COLUMN,
    COMMAS,
    DEPTH,
    FILE,
    FIRST_BEFORE,
    FIRST_WORD,
    FOLDER,
    INDENT,
    INDENT_BEFORE,
    LINE_START,
    LINE_START_BEFORE,
    MAX_DEPTH,
    NODE,
    QUOTE,
    SHAPE,
    SHAPE_BEFORE,
    SUBWORD,
    TEXT_START,
    TOKEN_1,
    TOKEN_2,
    TOKEN_3,
    WORD,
    WORD_1,
    WORD_2,
    WORD_3,
    WORD_BEFORE,
    WORD_START,
    TextState,
)

NUM_CONTEXTS = 45
ORDERS = (1, 2, 3, 5, 9, 24)  # numbers of bytes before the cursor, of contexts ORDER_1 to ORDER_24
MAX_ORDER = ORDERS[-1]
FIRST_TOKEN_CONTEXT = 42  # contexts from here on are of tokens
MAX_WORD_BYTES = 20  # positions in longer words are not distinguished

# Indices of the contexts, named after what they hash; several also hash the last byte. Numbers count backwards: 0 is
# the current word, token or line as far as it goes, 1 the one before it.
#
#   ORDER_N           the last N bytes
#   BYTES_2_3         the second and the third last byte
#   WORD              the current word
#   WORDS_0_2         the current word and the second before it
#   SUBWORD           the current part of a word
#   TOKENS_0_1        the current token and the one before it
#   SHAPE, SHAPES     the line's shape; and that of the line above
#   FIRST             the line's first word
#   FIRST_WORDS       the line's first word, and that of the last line that was not empty
#   INDENT, INDENTS   the line's indentation; and that of the line above
#   COLUMN            number of bytes of the line so far
#   ABOVE, TWO_ABOVE  the byte in the same column of the line above; and the byte after it
#   LENGTH            `NearbyText.length`
#   QUOTE             kind of quote or comment that is open
#   BRACKET           the innermost open bracket; in WORD_BRACKET also the word before it
#   ARGUMENT          the innermost open bracket, the word before it, and the commas in it
#   DEPTH             number of open brackets
#   FILE, FOLDER      of the text's path
#   INDIRECT          what last followed the last two bytes (PAIR), or the last word (`indirect`)
#
# Exceptions: SHAPE_LENGTH and LENGTH_INDENT also hash the bracket, SUBWORD_WORD_1 also the quote; in INDENTS_SHAPE the
# shape is that of the line above.
ORDER_0, ORDER_1, ORDER_2, ORDER_3, ORDER_5, ORDER_9, ORDER_24 = range(7)
WORDS_0_2, WORDS_0_2_3, WORD_SHAPE, WORD_BRACKET, WORD_ARGUMENT, WORD_INDENT = range(7, 13)
WORD_FIRST, WORDS_0_1_FIRST, WORD_TWO_ABOVE, WORD_FOLDER, WORD_FILE = range(13, 18)
SUBWORD_ONLY, SUBWORD_QUOTE, SUBWORD_FILE, SUBWORD_WORD_1 = range(18, 22)
SHAPE_ORDER_2, SHAPE_QUOTE, SHAPE_BRACKET, SHAPE_FIRST, SHAPES_0_1, INDENTS_SHAPE, SHAPE_LENGTH = range(22, 29)
FIRST_WORDS, COLUMN_ABOVE, ORDER_3_ABOVE, BRACKET_DEPTH, COLUMN_INDENT, LENGTH_QUOTE, LENGTH_INDENT = range(29, 36)
ORDER_2_QUOTE, BYTES_2_3, FILE_ORDER_3, FILE_ORDER_5, INDIRECT_PAIR, INDIRECT_WORD = range(36, 42)
TOKENS_0_1, TOKENS_0_1_2, TOKENS_0_1_2_3 = range(FIRST_TOKEN_CONTEXT, NUM_CONTEXTS)
FIRST_HIGH_ORDER, LAST_HIGH_ORDER = ORDER_3, ORDER_24  # the rarer ones of the orders


class NearbyText(NamedTuple):
    """What the contexts of a byte are made of; 0 for what there is not."""

    one: Number  # the bytes before it: the last, the second and the third last
    two: Number
    three: Number
    word: Number  # hash of the current word so far, and of those before it
    word_1: Number
    word_2: Number
    word_3: Number
    first: Number  # hash of the line's first word
    shape: Number  # hash of the line's shape, and of the one above
    shape_before: Number
    bracket: Number  # the innermost open bracket, a hash of it and the word before it, and the commas in it
    inside: Number
    commas: Number
    above: Number  # the byte in the same column of the line above, and the one after it
    above_next: Number
    length: Number  # bytes since the current word began, or since the last one ended; at most MAX_WORD_BYTES


@inlined
def byte_at(text: Array, position: Number, start: Number) -> Number:
    """Byte of `text` (N,) at a position; 0 if that is before `start`, where the document begins."""
    return np.uint64(text[position]) if position >= start else np.uint64(0)


@compiled
def set_contexts(contexts: Array, indirect: Array, text: Array, position: Number, text_state: TextState) -> None:
    """Fill in the hashes (C,) uint64 of the contexts of the byte at `position`.

    The contexts were chosen by ablations, each removed and others added, on libuv and networkx (docs/LOG.md).
    """
    near = _nearby_text(text, position, text_state)
    contexts[ORDER_0] = 0
    _set_orders(contexts, text, position, text_state.numbers[TEXT_START])
    _set_word_contexts(contexts, near, text_state)
    _set_line_contexts(contexts, near, text_state)
    _set_position_contexts(contexts, near, text_state)
    file = text_state.hashes[FILE]
    contexts[FILE_ORDER_3] = combine(file, contexts[ORDER_3])
    contexts[FILE_ORDER_5] = combine(file, contexts[ORDER_5])
    pair = indirect[BYTE_PAIR, byte_pair_slot(near.one, near.two)]
    contexts[INDIRECT_PAIR] = combine(pair & np.uint32(0xFFFF), near.one)
    contexts[INDIRECT_WORD] = combine(indirect[LAST_WORD, word_slot(near.word_1)], near.word)
    for number in range(FIRST_TOKEN_CONTEXT):
        contexts[number] = combine(contexts[number], number)
    _set_token_contexts(contexts, text_state)


@inlined
def _nearby_text(text: Array, position: Number, text_state: TextState) -> NearbyText:
    hashes, numbers = text_state.hashes, text_state.numbers
    start, depth = numbers[TEXT_START], numbers[DEPTH]
    above_at = numbers[LINE_START_BEFORE] + numbers[COLUMN]
    above, above_next = np.uint64(0), np.uint64(0)
    if above_at + 1 < numbers[LINE_START]:
        above, above_next = np.uint64(text[above_at]), np.uint64(text[above_at + 1])
    bracket, before, commas = np.uint64(0), np.uint64(0), np.uint64(0)
    if 0 < depth <= MAX_DEPTH:
        innermost = text_state.brackets[depth - 1]
        bracket, before, commas = innermost[BRACKET], innermost[WORD_BEFORE], innermost[COMMAS]
    return NearbyText(
        one=byte_at(text, position - 1, start),
        two=byte_at(text, position - 2, start),
        three=byte_at(text, position - 3, start),
        word=hashes[WORD],
        word_1=hashes[WORD_1],
        word_2=hashes[WORD_2],
        word_3=hashes[WORD_3],
        first=hashes[FIRST_WORD],
        shape=hashes[SHAPE],
        shape_before=hashes[SHAPE_BEFORE],
        bracket=bracket,
        inside=combine(bracket, before),
        commas=commas,
        above=above,
        above_next=above_next,
        length=min(position - numbers[WORD_START], MAX_WORD_BYTES),
    )


@inlined
def _set_word_contexts(contexts: Array, near: NearbyText, text_state: TextState) -> None:
    """Set the contexts of the current word or its part, and what surrounds it."""
    hashes, numbers, word, one = text_state.hashes, text_state.numbers, near.word, near.one
    subword, file, quote = hashes[SUBWORD], hashes[FILE], numbers[QUOTE]
    contexts[WORDS_0_2] = combine(word, near.word_2)
    contexts[WORDS_0_2_3] = combine(combine(word, near.word_3), near.word_2)
    contexts[WORD_SHAPE] = combine(near.shape, word)
    contexts[WORD_BRACKET] = combine(near.inside, word)
    contexts[WORD_ARGUMENT] = combine(combine(near.inside, near.commas), word)
    contexts[WORD_INDENT] = combine(numbers[INDENT], word)
    contexts[WORD_FIRST] = combine(near.first, word)
    contexts[WORDS_0_1_FIRST] = combine(combine(near.first, near.word_1), word)
    contexts[WORD_TWO_ABOVE] = combine(combine(near.above, near.above_next), word)
    contexts[WORD_FOLDER] = combine(combine(hashes[FOLDER], word), one)
    contexts[WORD_FILE] = combine(file, word)
    contexts[SUBWORD_ONLY] = combine(subword, 0)
    contexts[SUBWORD_QUOTE] = combine(combine(subword, one), quote)
    contexts[SUBWORD_FILE] = combine(file, subword)
    contexts[SUBWORD_WORD_1] = combine(combine(quote, near.word_1), subword)


@inlined
def _set_line_contexts(contexts: Array, near: NearbyText, text_state: TextState) -> None:
    """Set the contexts of the line's shape, and of the line above."""
    hashes, numbers, shape, one = text_state.hashes, text_state.numbers, near.shape, near.one
    indents = combine(numbers[INDENT_BEFORE], numbers[INDENT])
    contexts[SHAPE_ORDER_2] = combine(shape, contexts[ORDER_2])
    contexts[SHAPE_QUOTE] = combine(shape, numbers[QUOTE])
    contexts[SHAPE_BRACKET] = combine(combine(shape, near.bracket), one)
    contexts[SHAPE_FIRST] = combine(combine(near.first, shape), one)
    contexts[SHAPES_0_1] = combine(near.shape_before, shape)
    contexts[INDENTS_SHAPE] = combine(indents, combine(near.shape_before, one))
    contexts[SHAPE_LENGTH] = combine(combine(near.length, shape), near.bracket)
    contexts[FIRST_WORDS] = combine(combine(hashes[FIRST_BEFORE], near.first), one)
    contexts[COLUMN_ABOVE] = combine(combine(one, near.above), min(numbers[COLUMN], 63))
    contexts[ORDER_3_ABOVE] = combine(contexts[ORDER_3], near.above)


@inlined
def _set_position_contexts(contexts: Array, near: NearbyText, text_state: TextState) -> None:
    """Set the contexts of the position in brackets, line and word."""
    numbers, one, length = text_state.numbers, near.one, near.length
    indent, quote = numbers[INDENT], numbers[QUOTE]
    contexts[BRACKET_DEPTH] = combine(combine(near.bracket, numbers[DEPTH]), one)
    contexts[COLUMN_INDENT] = combine(combine(indent, one), min(numbers[COLUMN], 255))
    contexts[LENGTH_QUOTE] = combine(length, quote)
    contexts[LENGTH_INDENT] = combine(combine(length, one), combine(indent, near.bracket))
    contexts[ORDER_2_QUOTE] = combine(contexts[ORDER_2], quote)
    contexts[BYTES_2_3] = combine(near.two, near.three)


@inlined
def _set_token_contexts(contexts: Array, text_state: TextState) -> None:
    """Set the contexts of tokens, which change when a token ends."""
    hashes, node = text_state.hashes, text_state.numbers[NODE]
    one = combine(hashes[TOKEN_1], node)
    two = combine(combine(hashes[TOKEN_2], hashes[TOKEN_1]), node)
    three = combine(combine(combine(hashes[TOKEN_3], hashes[TOKEN_2]), hashes[TOKEN_1]), node)
    contexts[TOKENS_0_1] = combine(one, TOKENS_0_1)
    contexts[TOKENS_0_1_2] = combine(two, TOKENS_0_1_2)
    contexts[TOKENS_0_1_2_3] = combine(three, TOKENS_0_1_2_3)


@inlined
def _set_orders(contexts: Array, text: Array, position: Number, start: Number) -> None:
    """Set the contexts ORDER_1 to ORDER_24, hashes of the last ORDERS bytes."""
    hash_ = np.uint64(0)
    number = ORDER_1
    for order in range(1, MAX_ORDER + 1):
        hash_ = combine(hash_, byte_at(text, position - order, start))
        if order == ORDERS[number - ORDER_1]:
            contexts[number] = hash_
            number += 1
