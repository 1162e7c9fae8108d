"""What the next byte may depend on: one hash for each context, from the text before the cursor.

A context that has been seen before brings what followed it. Short ones are always there and vague, long ones sure and
rare; those of words, lines, brackets and tokens find what plain order misses. Which to trust is the mixer's business.
"""

import numpy as np

from cllm.memory.compiled import Array, Number, compiled, inlined
from cllm.memory.followers import (
    AFTER_THREE,
    AFTER_TWO,
    AFTER_WORD,
    after_three,
    after_two,
    note,
    place_of,
)
from cllm.memory.hashing import combine
from cllm.memory.text import (
    COLUMN,
    COMMAS,
    DEPTH,
    FIRST_WORD,
    INDENT,
    KIND,
    LINE_START,
    LINE_START_BEFORE,
    MAX_DEPTH,
    NODE,
    SHAPE,
    TEXT_START,
    TOKEN_1,
    TOKEN_2,
    TOKEN_3,
    WORD,
    WORD_1,
    WORD_2,
    WORD_3,
    WORD_BEFORE,
    Cursor,
)

LONGEST_ORDER = 24
ORDERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 24)  # contexts 1 to 11: so many bytes before the cursor
FIRST_OF_TOKENS = 37  # contexts from here on are of tokens
NUM_CONTEXTS = 40


@inlined
def byte_at(text: Array, position: Number, start: Number) -> Number:
    """A byte of the text that began at `start`; 0 before it."""
    return np.uint64(text[position]) if position >= start else np.uint64(0)


@compiled
def set_contexts(contexts: Array, followers: Array, text: Array, position: Number, cursor: Cursor) -> None:
    """Fill in the hashes (40,) for the byte at `position`."""
    hashes, numbers = cursor.hashes, cursor.numbers
    start = numbers[TEXT_START]
    orders = _orders(contexts, text, position, start)
    one = byte_at(text, position - 1, start)
    two = byte_at(text, position - 2, start)
    three = byte_at(text, position - 3, start)
    four = byte_at(text, position - 4, start)
    word, word_1, word_2, word_3 = hashes[WORD], hashes[WORD_1], hashes[WORD_2], hashes[WORD_3]
    first, shape = hashes[FIRST_WORD], hashes[SHAPE]
    column, indent, depth = numbers[COLUMN], numbers[INDENT], numbers[DEPTH]
    above_at = numbers[LINE_START_BEFORE] + column
    above, above_next = np.uint64(0), np.uint64(0)
    if above_at + 1 < numbers[LINE_START]:
        above, above_next = np.uint64(text[above_at]), np.uint64(text[above_at + 1])
    bracket, before, commas = np.uint64(0), np.uint64(0), np.uint64(0)
    if 0 < depth <= MAX_DEPTH:
        innermost = cursor.brackets[depth - 1]
        bracket, before, commas = innermost[KIND], innermost[WORD_BEFORE], innermost[COMMAS]
    inside = combine(bracket, before)

    contexts[0] = 0
    contexts[12] = word
    contexts[13] = combine(word, word_1)
    contexts[14] = combine(contexts[13], word_2)
    contexts[15] = combine(contexts[14], word_3)
    contexts[16] = combine(word, one)
    contexts[17] = combine(word, word_2)
    contexts[18] = combine(combine(word, word_3), word_2)
    contexts[19] = combine(two, three)
    contexts[20] = combine(combine(one, three), four)
    contexts[21] = combine(combine(one, above), min(column, 63))
    contexts[22] = combine(orders[1], above)
    contexts[23] = combine(shape, word)
    contexts[24] = combine(inside, word)
    contexts[25] = combine(combine(inside, commas), word)
    contexts[26] = combine(indent, word)
    contexts[27] = combine(first, word)
    contexts[28] = combine(combine(first, word_1), word)
    contexts[29] = combine(shape, orders[0])
    contexts[30] = combine(combine(bracket, depth), one)
    contexts[31] = combine(combine(combine(word_1, word_2), word_3), one)
    contexts[32] = combine(combine(indent, one), min(column, 255))
    contexts[33] = combine(combine(above, above_next), word)
    contexts[34] = combine(followers[AFTER_TWO, after_two(one, two)] & np.uint32(0xFFFF), one)
    contexts[35] = combine(followers[AFTER_THREE, after_three(one, two, three)], one)
    contexts[36] = combine(followers[AFTER_WORD, place_of(word_1)], word)
    for number in range(FIRST_OF_TOKENS):
        contexts[number] = combine(contexts[number], number)
    set_token_contexts(contexts, cursor)


@inlined
def note_byte(notes: Array, count: Number, text: Array, position: Number, start: Number) -> Number:
    """Note what the byte at `position` follows in a text that began at `start`; how many notes there are then."""
    one = byte_at(text, position - 1, start)
    two = byte_at(text, position - 2, start)
    three = byte_at(text, position - 3, start)
    count = note(notes, count, AFTER_TWO, after_two(one, two), text[position])
    return note(notes, count, AFTER_THREE, after_three(one, two, three), text[position])


@inlined
def note_word(notes: Array, count: Number, cursor: Cursor, word: Number, before: Number) -> Number:
    """If a word has just ended, which was `word` after `before`, note it; how many notes there are then."""
    if word != 0 and cursor.hashes[WORD] == 0:
        return note(notes, count, AFTER_WORD, place_of(before), np.int64(word & np.uint64(0xFFFFFFFF)))
    return count


@inlined
def set_token_contexts(contexts: Array, cursor: Cursor) -> None:
    """The contexts that change as soon as it is known that a token has ended."""
    hashes, node = cursor.hashes, cursor.numbers[NODE]
    one = combine(hashes[TOKEN_1], node)
    two = combine(combine(hashes[TOKEN_2], hashes[TOKEN_1]), node)
    three = combine(combine(combine(hashes[TOKEN_3], hashes[TOKEN_2]), hashes[TOKEN_1]), node)
    contexts[FIRST_OF_TOKENS] = combine(one, FIRST_OF_TOKENS)
    contexts[FIRST_OF_TOKENS + 1] = combine(two, FIRST_OF_TOKENS + 1)
    contexts[FIRST_OF_TOKENS + 2] = combine(three, FIRST_OF_TOKENS + 2)


@inlined
def _orders(contexts: Array, text: Array, position: Number, start: Number) -> tuple[Number, Number]:
    """Set contexts 1 to 11; the hashes of the last two and three bytes are needed again."""
    hash_ = np.uint64(0)
    number = 1
    two, three = np.uint64(0), np.uint64(0)
    for order in range(1, LONGEST_ORDER + 1):
        hash_ = combine(hash_, byte_at(text, position - order, start))
        if order == 2:
            two = hash_
        if order == 3:
            three = hash_
        if order == ORDERS[number - 1]:
            contexts[number] = hash_
            number += 1
    return two, three
