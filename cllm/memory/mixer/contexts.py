"""The 45 contexts of the next byte: one hash each, computed from the text before it.

A context predicts what followed its earlier occurrences. Short contexts are frequent and uncertain, long ones rare and
certain; those of words, lines, brackets and tokens add what plain orders miss. The mixers weigh them.
"""

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.indirect import (
    BYTE_PAIR,
    LAST_WORD,
    append_indirect_update,
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

MAX_ORDER = 24
ORDERS = (1, 2, 3, 5, 9, 24)  # of contexts 1 to 6: numbers of bytes before the cursor
FIRST_HIGH_ORDER, LAST_HIGH_ORDER = 3, 6  # indices of the rarer ones of them
FIRST_TOKEN_CONTEXT = 42  # contexts from here on are of tokens
NUM_CONTEXTS = 45
MAX_WORD_BYTES = 20  # positions in longer words are not distinguished


@inlined
def byte_at(text: Array, position: Number, start: Number) -> Number:
    """Byte of `text` (N,) at a position; 0 if that is before `start`, where the document begins."""
    return np.uint64(text[position]) if position >= start else np.uint64(0)


@compiled
def set_contexts(contexts: Array, indirect: Array, text: Array, position: Number, text_state: TextState) -> None:
    """Fill in the hashes (45,) uint64 of the contexts of the byte at `position`.

    The contexts were chosen by ablations, each removed and others added, on libuv and networkx (docs/LOG.md).
    """
    hashes, numbers = text_state.hashes, text_state.numbers
    start = numbers[TEXT_START]
    one = byte_at(text, position - 1, start)
    two = byte_at(text, position - 2, start)
    three = byte_at(text, position - 3, start)
    word, word_1, word_2, word_3 = hashes[WORD], hashes[WORD_1], hashes[WORD_2], hashes[WORD_3]
    first, shape, shape_before = hashes[FIRST_WORD], hashes[SHAPE], hashes[SHAPE_BEFORE]
    subword, file, quote = hashes[SUBWORD], hashes[FILE], numbers[QUOTE]
    column, indent, depth = numbers[COLUMN], numbers[INDENT], numbers[DEPTH]
    length = min(position - numbers[WORD_START], MAX_WORD_BYTES)
    above_at = numbers[LINE_START_BEFORE] + column
    above, above_next = np.uint64(0), np.uint64(0)
    if above_at + 1 < numbers[LINE_START]:
        above, above_next = np.uint64(text[above_at]), np.uint64(text[above_at + 1])
    bracket, before, commas = np.uint64(0), np.uint64(0), np.uint64(0)
    if 0 < depth <= MAX_DEPTH:
        innermost = text_state.brackets[depth - 1]
        bracket, before, commas = innermost[BRACKET], innermost[WORD_BEFORE], innermost[COMMAS]
    inside = combine(bracket, before)
    slots = combine(shape_before, shape)

    contexts[0] = 0
    _set_orders(contexts, text, position, start)
    of_two, of_three, of_five = contexts[2], contexts[3], contexts[4]
    # Words, and their surroundings.
    contexts[7] = combine(word, word_2)
    contexts[8] = combine(combine(word, word_3), word_2)
    contexts[9] = combine(shape, word)
    contexts[10] = combine(inside, word)
    contexts[11] = combine(combine(inside, commas), word)
    contexts[12] = combine(indent, word)
    contexts[13] = combine(first, word)
    contexts[14] = combine(combine(first, word_1), word)
    contexts[15] = combine(combine(above, above_next), word)
    contexts[16] = combine(combine(hashes[FOLDER], word), one)
    contexts[17] = combine(file, word)
    contexts[18] = combine(subword, 0)
    contexts[19] = combine(combine(subword, one), quote)
    contexts[20] = combine(file, subword)
    contexts[21] = combine(combine(quote, word_1), subword)
    # The line's shape, and the line above.
    contexts[22] = combine(shape, of_two)
    contexts[23] = combine(shape, quote)
    contexts[24] = combine(combine(shape, bracket), one)
    contexts[25] = combine(combine(first, shape), one)
    contexts[26] = slots
    contexts[27] = combine(combine(numbers[INDENT_BEFORE], indent), combine(shape_before, one))
    contexts[28] = combine(combine(length, shape), bracket)
    contexts[29] = combine(combine(hashes[FIRST_BEFORE], first), one)
    contexts[30] = combine(combine(one, above), min(column, 63))
    contexts[31] = combine(of_three, above)
    # Position in brackets, line and word.
    contexts[32] = combine(combine(bracket, depth), one)
    contexts[33] = combine(combine(indent, one), min(column, 255))
    contexts[34] = combine(length, quote)
    contexts[35] = combine(combine(length, one), combine(indent, bracket))
    contexts[36] = combine(of_two, quote)
    contexts[37] = combine(two, three)
    # The file, and the indirect contexts.
    contexts[38] = combine(file, of_three)
    contexts[39] = combine(file, of_five)
    contexts[40] = combine(indirect[BYTE_PAIR, byte_pair_slot(one, two)] & np.uint32(0xFFFF), one)
    contexts[41] = combine(indirect[LAST_WORD, word_slot(word_1)], word)
    for number in range(FIRST_TOKEN_CONTEXT):
        contexts[number] = combine(contexts[number], number)
    _set_token_contexts(contexts, text_state)


@inlined
def append_byte_update(indirect_updates: Array, count: Number, text: Array, position: Number, start: Number) -> Number:
    """Append the byte of `text` (N,) at `position` to the updates (M, 3); returns the new number of updates."""
    one = byte_at(text, position - 1, start)
    two = byte_at(text, position - 2, start)
    return append_indirect_update(indirect_updates, count, BYTE_PAIR, byte_pair_slot(one, two), text[position])


@inlined
def append_word_update(
    indirect_updates: Array, count: Number, text_state: TextState, word: Number, before: Number
) -> Number:
    """Append `word`, which followed `before`, to the updates (M, 3) if it has just ended; returns their new number."""
    if word != 0 and text_state.hashes[WORD] == 0:
        return append_indirect_update(
            indirect_updates, count, LAST_WORD, word_slot(before), np.int64(word & np.uint64(0xFFFFFFFF))
        )
    return count


@inlined
def _set_token_contexts(contexts: Array, text_state: TextState) -> None:
    """Set the contexts of tokens, which change when a token ends."""
    hashes, node = text_state.hashes, text_state.numbers[NODE]
    one = combine(hashes[TOKEN_1], node)
    two = combine(combine(hashes[TOKEN_2], hashes[TOKEN_1]), node)
    three = combine(combine(combine(hashes[TOKEN_3], hashes[TOKEN_2]), hashes[TOKEN_1]), node)
    contexts[FIRST_TOKEN_CONTEXT] = combine(one, FIRST_TOKEN_CONTEXT)
    contexts[FIRST_TOKEN_CONTEXT + 1] = combine(two, FIRST_TOKEN_CONTEXT + 1)
    contexts[FIRST_TOKEN_CONTEXT + 2] = combine(three, FIRST_TOKEN_CONTEXT + 2)


@inlined
def _set_orders(contexts: Array, text: Array, position: Number, start: Number) -> None:
    """Set contexts 1 to 6, hashes of the last ORDERS bytes."""
    hash_ = np.uint64(0)
    number = 1
    for order in range(1, MAX_ORDER + 1):
        hash_ = combine(hash_, byte_at(text, position - order, start))
        if order == ORDERS[number - 1]:
            contexts[number] = hash_
            number += 1
