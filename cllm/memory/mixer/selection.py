"""Selection of mixer weights: S = 23 selectors, each of which selects a row of weights for a decision.

A selector is a small context of the decision; "context" alone always means one of the C hashed ones (`contexts`).
Twelve of the selectors have a mixer each, with weights of the inputs in each row. The mixers' outputs are mixed by the
sum of the rows that these selectors and eleven more select. This sum makes many mixers worthwhile: of thirteen, three
had no benefit while two rows mixed them (docs/LOG.md, 2026-11-25).

The rows of the adaptive probability maps (APMs), which refine the result, are selected here, too.
"""

from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array, Number, inlined
from cllm.memory.mixer.contexts import FIRST_HIGH_ORDER, LAST_HIGH_ORDER, ORDER_3, byte_at
from cllm.memory.mixer.decisions import NUM_DECISIONS, TOKEN_BEGINS, Decision
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.mixing import APM_BINS
from cllm.memory.mixer.text_state import (
    BRACKET,
    COLUMN,
    COMMAS,
    DEPTH,
    FIRST_WORD,
    FOLDER,
    INDENT,
    LINE_START,
    LINE_START_BEFORE,
    MAX_DEPTH,
    NODE,
    QUOTE,
    QUOTES,
    SHAPE,
    SHAPE_BEFORE,
    TEXT_START,
    TOKEN_1,
    WORD,
    WORD_1,
    WORD_BEFORE,
    WORD_START,
    TextState,
)

NUM_HIGH_ORDERS = LAST_HIGH_ORDER - FIRST_HIGH_ORDER + 1
# Number of rows of each selector that has a mixer, in the order of the indices below. Most have rows for each decision,
# some for each kind of decision instead (whether a token begins, or a bit), some for each partial byte. The position in
# a word is the number of bytes since the current word began, or since the last one ended.
MIXER_ROWS = (
    512,  # the byte's decisions so far
    256 * NUM_DECISIONS,  # the last byte
    512 * NUM_DECISIONS,  # the last two bytes
    256 * 2,  # the byte before the last, the kind of decision
    4096,  # the last byte, with the byte's decisions so far
    16 * NUM_DECISIONS * 3,  # position in the word, and the match's bit
    4 * NUM_DECISIONS * 16,  # bracket, commas in it, indentation in fours
    128 * NUM_DECISIONS,  # the line's shape
    12 * 9 * 3 * 2,  # the network's probability and confidence, the match's bit, the kind of decision
    6 * 21 * NUM_DECISIONS,  # kind of quote, position in the word
    1 + 256 * NUM_DECISIONS * 2,  # the byte that the match expects, whether it is long
    256 * NUM_DECISIONS,  # the byte above
)
# The same of the selectors without a mixer; the last two depend on what was found for the contexts.
OTHER_ROWS = (
    60,  # the match's length and bit, whether a token has just begun, and the kind of decision
    32 * NUM_DECISIONS,  # indentation
    256 * NUM_DECISIONS,  # tokens
    256 * NUM_DECISIONS,  # the line's first word, the shape of the line before
    256 * NUM_DECISIONS,  # the folder
    1024 * NUM_DECISIONS,  # the current word so far
    1024 * NUM_DECISIONS,  # the word before
    1024 * NUM_DECISIONS,  # the word before the bracket, commas in it
    512 * NUM_DECISIONS,  # the byte that the longest order with a run expects
    (NUM_HIGH_ORDERS + 1) * NUM_DECISIONS * 2,  # number of high orders with a history, whether a token has just begun
    7 * 7 * NUM_DECISIONS,  # numbers of contexts that were always followed by a one here, and by a zero
)
NUM_MIXERS, NUM_SELECTORS = len(MIXER_ROWS), len(MIXER_ROWS) + len(OTHER_ROWS)
# Index of each selector: those with a mixer, then the others. KNOWN and VOTES are selected late.
BYTE_SO_FAR, BYTE_1, BYTES_1_2, BYTE_2, BYTE_1_SO_FAR, WORD_POSITION, IN_BRACKET = range(7)
LINE_SHAPE, NETWORK, QUOTED, MATCH_BYTE, ABOVE = range(7, NUM_MIXERS)
MATCH, INDENTATION, TOKENS, FIRST_AND_SHAPE, IN_FOLDER, CURRENT_WORD = range(12, 18)
PREVIOUS_WORD, ARGUMENT, RUN_BYTE, KNOWN, VOTES = range(18, NUM_SELECTORS)
FIRST_LATE_SELECTOR = KNOWN
# First row of each selector, in `weights` for those with mixers and in `final_weights` for the others.
ROW_OFFSETS = tuple(int(start) for rows in (MIXER_ROWS, OTHER_ROWS) for start in np.cumsum([0, *rows[:-1]]))

HASHED_ROWS = 1 << 14  # with 2^16 rows: the same bits, training a third slower


class ApmRows(NamedTuple):
    """One number for each adaptive probability map: its number of rows, or the index of a row in it."""

    last_byte: Number  # by the last byte, with the byte's decisions so far
    order_3: Number  # by the context ORDER_3, with the byte's decisions so far
    match_byte: Number  # the rows of the selector MATCH_BYTE
    votes: Number  # the rows of the selector VOTES


APM_ROWS = ApmRows(
    last_byte=HASHED_ROWS,
    order_3=HASHED_ROWS,
    match_byte=MIXER_ROWS[MATCH_BYTE],
    votes=OTHER_ROWS[VOTES - NUM_MIXERS],
)
NUM_APMS = len(APM_ROWS)
APM_OFFSETS = tuple(APM_BINS * int(start) for start in np.cumsum([0, *APM_ROWS[:-1]]))  # first bin of each map


@inlined
def select_apm_rows(rows: Array, contexts: Array, partial: Number, last_byte: Number) -> ApmRows:
    """Select a row of each adaptive probability map.

    `rows` (S,): the selected rows of weights; `contexts` (C,): the hashes of the contexts.
    """
    return ApmRows(
        last_byte=np.int64(combine(last_byte, partial)) & (HASHED_ROWS - 1),
        order_3=np.int64(combine(contexts[ORDER_3], partial)) & (HASHED_ROWS - 1),
        match_byte=rows[MATCH_BYTE] - ROW_OFFSETS[MATCH_BYTE],
        votes=rows[VOTES] - ROW_OFFSETS[VOTES],
    )


@inlined
def select_rows(
    rows: Array,
    text_state: TextState,
    expected: Array,
    text: Array,
    position: Number,
    decision: Decision,
    match_bit: Number,
    network_bin: Number,
    confidence_bin: Number,
) -> None:
    """Select the rows (S,) int64 of all selectors but the last two.

    `expected` (C,): as in `ContextState`. `match_bit`: 0 without a match, else 1 plus its bit. `network_bin`: 0 without
    a network, else 1 plus its probability in elevenths; `confidence_bin`: likewise, its confidence in eighths.
    """
    numbers, partial, index = text_state.numbers, decision.partial, decision.index
    kind = 0 if index == TOKEN_BEGINS else 1
    one = np.int64(byte_at(text, position - 1, numbers[TEXT_START]))
    two = np.int64(byte_at(text, position - 2, numbers[TEXT_START]))
    rows[BYTE_SO_FAR] = partial
    rows[BYTE_1] = one * NUM_DECISIONS + index
    rows[BYTES_1_2] = _hash_bits(one, two, 9) * NUM_DECISIONS + index
    rows[BYTE_2] = two * 2 + kind
    rows[BYTE_1_SO_FAR] = _hash_bits(one, partial, 12)
    rows[NETWORK] = ((network_bin * 9 + confidence_bin) * 3 + match_bit) * 2 + kind
    rows[RUN_BYTE] = _run_byte(expected) * NUM_DECISIONS + index
    _select_match_rows(rows, text_state, text, index, match_bit)
    _select_line_rows(rows, text_state, text, position, index, match_bit)
    _select_hash_rows(rows, text_state, index)
    for selector in range(FIRST_LATE_SELECTOR):
        rows[selector] += ROW_OFFSETS[selector]


@inlined
def _run_byte(expected: Array) -> Number:
    """The byte, with its token mark, of the longest order's run, by `expected` (C,); 0 if there is none."""
    found: Number = 0
    for context in range(FIRST_HIGH_ORDER, LAST_HIGH_ORDER + 1):
        if expected[context] > 0:
            found = expected[context] & 511
    return found


@inlined
def _select_match_rows(rows: Array, text_state: TextState, text: Array, index: Number, match_bit: Number) -> None:
    """Select the rows (S,) of the longer match."""
    kind = 0 if index == TOKEN_BEGINS else 1
    is_token_start = 1 if text_state.numbers[NODE] == 0 else 0
    longer = 0 if text_state.match_length[0] >= text_state.match_length[1] else 1
    longest = text_state.match_length[longer]
    length = 0 if longest == 0 else (1 if longest < 12 else (2 if longest < 20 else (3 if longest < 32 else 4)))
    match_byte_row: Number = 0
    if match_bit:
        is_long = 1 if longest >= 20 else 0
        match_byte_row = 1 + (np.int64(text[text_state.match_at[longer]]) * NUM_DECISIONS + index) * 2 + is_long
    rows[MATCH_BYTE] = match_byte_row
    rows[MATCH] = ((length * 3 + match_bit) * 2 + is_token_start) * 2 + kind


@inlined
def _select_line_rows(
    rows: Array, text_state: TextState, text: Array, position: Number, index: Number, match_bit: Number
) -> None:
    """Select the rows (S,) of the position in word, line, brackets and quotes."""
    numbers = text_state.numbers
    depth, indent = numbers[DEPTH], min(numbers[INDENT], 31)
    bracket: Number = 0
    commas: Number = 0
    inside = np.uint64(0)
    if 0 < depth <= MAX_DEPTH:
        bracket = np.int64(text_state.brackets[depth - 1, BRACKET]) >> 5  # ( [ { are 1, 2, 3
        commas = np.int64(text_state.brackets[depth - 1, COMMAS])
        inside = text_state.brackets[depth - 1, WORD_BEFORE]
    word_position = position - numbers[WORD_START]
    quote = numbers[QUOTE]
    quoted = quote if quote < 3 else (3 if quote == QUOTES[0] else (4 if quote == QUOTES[1] else 5))
    above_at = numbers[LINE_START_BEFORE] + numbers[COLUMN]
    above: Number = 0
    if above_at < numbers[LINE_START]:
        above = np.int64(text[above_at])
    rows[WORD_POSITION] = (min(word_position, 15) * NUM_DECISIONS + index) * 3 + match_bit
    rows[IN_BRACKET] = (bracket * NUM_DECISIONS + index) * 16 + min(commas, 3) * 4 + min(indent >> 2, 3)
    rows[QUOTED] = (quoted * 21 + min(word_position, 20)) * NUM_DECISIONS + index
    rows[ABOVE] = above * NUM_DECISIONS + index
    rows[INDENTATION] = indent * NUM_DECISIONS + index
    rows[ARGUMENT] = _hash_bits(inside, commas, 10) * NUM_DECISIONS + index


@inlined
def _select_hash_rows(rows: Array, text_state: TextState, index: Number) -> None:
    """Select the rows (S,) of shape, tokens, path and words."""
    hashes = text_state.hashes
    rows[LINE_SHAPE] = _hash_bits(hashes[SHAPE], 1, 7) * NUM_DECISIONS + index
    rows[TOKENS] = _hash_bits(hashes[TOKEN_1], text_state.numbers[NODE], 8) * NUM_DECISIONS + index
    rows[FIRST_AND_SHAPE] = _hash_bits(hashes[FIRST_WORD], hashes[SHAPE_BEFORE], 8) * NUM_DECISIONS + index
    rows[IN_FOLDER] = _hash_bits(hashes[FOLDER], 1, 8) * NUM_DECISIONS + index
    rows[CURRENT_WORD] = _hash_bits(hashes[WORD], 1, 10) * NUM_DECISIONS + index
    rows[PREVIOUS_WORD] = _hash_bits(hashes[WORD_1], 1, 10) * NUM_DECISIONS + index


@inlined
def select_late_rows(
    rows: Array, decision: Number, is_token_start: Number, num_known: Number, num_ones: Number, num_zeros: Number
) -> None:
    """Select the last two of the rows (S,) int64.

    `num_known`: number of contexts FIRST_HIGH_ORDER to LAST_HIGH_ORDER with a history; `num_ones`, `num_zeros`: numbers
    of contexts with a run that expects a one, and a zero.
    """
    rows[KNOWN] = ROW_OFFSETS[KNOWN] + (num_known * NUM_DECISIONS + decision) * 2 + is_token_start
    rows[VOTES] = ROW_OFFSETS[VOTES] + (_quantize(num_ones) * 7 + _quantize(num_zeros)) * NUM_DECISIONS + decision


def init_network_rows(weights: Array) -> None:
    """Copy, in weights (R, W), the rows used without a network to those selected with one, which are untrained."""
    num_without_network = 3 * 2  # the match's bit, whether a token begins
    rows = weights[ROW_OFFSETS[NETWORK] : ROW_OFFSETS[NETWORK] + MIXER_ROWS[NETWORK]].reshape(
        -1, num_without_network, weights.shape[1]
    )
    rows[1:] = rows[0]


@inlined
def _hash_bits(one: Number, other: Number, bits: Number) -> Number:
    """Hash of two numbers, `bits` bits long."""
    return np.int64(combine(one, other) >> np.uint64(64 - bits))


@inlined
def _quantize(count: Number) -> Number:
    """Bin (0 to 6) of a count: 0, 1 and 2 have bins of their own, then ranges that double."""
    return count if count < 3 else (3 if count < 5 else (4 if count < 9 else (5 if count < 16 else 6)))
