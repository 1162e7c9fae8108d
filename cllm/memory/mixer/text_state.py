"""The state of a text before the next byte, updated byte by byte: words, line, indentation, open brackets, tokens."""

import zlib
from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.hashing import combine

# Indices in `TextState.hashes`. A word is letters, digits, underscores, or non-ASCII bytes.
WORD = 0  # the current word so far; 0 outside a word
WORD_1, WORD_2, WORD_3 = 1, 2, 3  # words before it, each with the punctuation that followed it
FIRST_WORD = 4  # of the line
SHAPE = 5  # the line's punctuation, with each word as one symbol
TOKEN_1, TOKEN_2, TOKEN_3 = 6, 7, 8  # the tokens before the current one
FILE, FOLDER = 9, 10  # of the text's path
SUBWORD = 11  # the current part of a word so far: `cb` of read_cb, readCb or READ_CB
SHAPE_BEFORE, FIRST_BEFORE = 12, 13  # SHAPE of the line above, FIRST_WORD of the last line that was not empty
NUM_HASHES = 14

# Indices in `TextState.numbers`.
LINE_START = 0  # position of the line's first byte
LINE_START_BEFORE = 1  # the same of the line above; in the first line LINE_START
COLUMN = 2  # bytes of the line so far
INDENT = 3  # of the line, in bytes: a tab counts 1
INDENT_BEFORE = 4  # of the line above
WORD_START = 5  # position of the current word's begin, or else of the last word's end; 0 before the first word
DEPTH = 6  # open brackets, also those in strings and comments
NODE = 7  # trie node of the current token so far; 0, the root, where a token begins
TEXT_START = 8  # position of the text's first byte
QUOTE = 9  # kind of quote or comment that is open
LAST_BYTE = 10  # 0 at the begin of the text
NUM_NUMBERS = 11

# Columns of `TextState.brackets`.
BRACKET = 0  # its byte
WORD_BEFORE = 1  # WORD_1 when it was opened, which includes the bracket itself
COMMAS = 2  # and semicolons, directly in it
MAX_DEPTH = 64  # deeper brackets are counted but not stored

NEW_LINE, TAB, SPACE, COMMA, SEMICOLON = 10, 9, 32, 44, 59
NUMBER_SIGN, STAR, SLASH, BACKSLASH, BACKTICK, QUOTES = 35, 42, 47, 92, 96, (34, 39, 96)

# Values of `TextState.numbers[QUOTE]`; inside quotes it is the quote's byte.
NOT_QUOTED, LINE_COMMENT, BLOCK_COMMENT = 0, 1, 2


class TextState(NamedTuple):
    """State of a text: `hashes` (14,) uint64, `numbers` (11,) int64, `brackets` (64, 3) uint64, matches (M,) int64."""

    hashes: Array
    numbers: Array
    brackets: Array
    match_at: Array  # position of the byte that each match predicts next
    match_length: Array  # bytes that agree before it; 0: no match


def new_text_state(num_matches: int, *stacked: int) -> TextState:
    """A zeroed text state; with `stacked`, arrays with these leading dimensions."""
    return TextState(
        np.zeros((*stacked, NUM_HASHES), np.uint64),
        np.zeros((*stacked, NUM_NUMBERS), np.int64),
        np.zeros((*stacked, MAX_DEPTH, 3), np.uint64),
        np.zeros((*stacked, num_matches), np.int64),
        np.zeros((*stacked, num_matches), np.int64),
    )


@compiled
def copy_text_state(text_state: TextState, copy: TextState) -> None:
    """Copy a text state into another one."""
    for place in range(NUM_HASHES):
        copy.hashes[place] = text_state.hashes[place]
    for place in range(NUM_NUMBERS):
        copy.numbers[place] = text_state.numbers[place]
    for place in range(MAX_DEPTH):
        for column in range(3):
            copy.brackets[place, column] = text_state.brackets[place, column]
    for place in range(len(text_state.match_at)):
        copy.match_at[place] = text_state.match_at[place]
        copy.match_length[place] = text_state.match_length[place]


def path_hashes(path: str) -> Array:
    """Hashes (2,) uint64 of a file and its folder."""
    parts = path, path.rpartition("/")[0]
    return np.array([zlib.crc32(part.encode("utf-8", "surrogateescape")) for part in parts], np.uint64)


@compiled
def reset_text_state(text_state: TextState, position: Number, path_hash: Array) -> None:
    """Reset to the begin of a new text at `position`, from the file with hashes (2,) of `path_hashes`."""
    text_state.hashes[:] = 0
    for part in range(len(path_hash)):
        text_state.hashes[FILE + part] = path_hash[part]
    text_state.numbers[:] = 0
    text_state.match_length[:] = 0
    text_state.numbers[LINE_START] = position
    text_state.numbers[LINE_START_BEFORE] = position
    text_state.numbers[TEXT_START] = position


@inlined
def is_word_byte(byte: Number) -> Number:
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95 or byte >= 128


@compiled
def advance(text_state: TextState, byte: Number, position: Number) -> None:
    """Update the state by the byte at `position`."""
    hashes, numbers = text_state.hashes, text_state.numbers
    last = numbers[LAST_BYTE]
    hashes[SUBWORD] = _next_subword(hashes[SUBWORD], last, byte)
    numbers[QUOTE] = _next_quote(numbers[QUOTE], last, byte)
    numbers[LAST_BYTE] = byte
    if is_word_byte(byte):
        if hashes[WORD] == 0:
            numbers[WORD_START] = position
            hashes[SHAPE] = combine(hashes[SHAPE], 1)
        hashes[WORD] = combine(hashes[WORD], byte)
    else:
        if hashes[WORD] != 0:
            _end_word(text_state, position)
        if byte not in (SPACE, TAB, NEW_LINE):
            hashes[WORD_1] = combine(hashes[WORD_1], byte)
            hashes[SHAPE] = combine(hashes[SHAPE], byte)
    if byte == NEW_LINE:
        numbers[LINE_START_BEFORE] = numbers[LINE_START]
        numbers[LINE_START] = position + 1
        numbers[INDENT_BEFORE], hashes[SHAPE_BEFORE] = numbers[INDENT], hashes[SHAPE]
        if hashes[SHAPE] != 0:
            hashes[FIRST_BEFORE] = hashes[FIRST_WORD]
        numbers[COLUMN], numbers[INDENT] = 0, 0
        hashes[FIRST_WORD], hashes[SHAPE] = 0, 0
    else:
        if numbers[INDENT] == numbers[COLUMN] and byte in (SPACE, TAB):
            numbers[INDENT] += 1
        numbers[COLUMN] += 1
    _bracket(text_state, byte)


@inlined
def _next_subword(subword: Number, last: Number, byte: Number) -> Number:
    """Hash of the subword after a byte; an upper-case letter after a lower-case one begins one; case is ignored."""
    small = 97 <= byte <= 122 or 48 <= byte <= 57 or byte >= 128
    capital = 65 <= byte <= 90
    if not small and not capital:
        return np.uint64(0)
    begins = capital and 97 <= last <= 122
    return combine(np.uint64(0) if begins else subword, byte | 32)


@inlined
def _next_quote(quote: Number, last: Number, byte: Number) -> Number:
    """Kind of quote or comment that is open after a byte: a heuristic for most lines of most languages."""
    if byte == NEW_LINE and quote not in (BLOCK_COMMENT, BACKTICK):
        return NOT_QUOTED
    if quote == BLOCK_COMMENT:
        return NOT_QUOTED if last == STAR and byte == SLASH else quote
    if quote != NOT_QUOTED:
        return NOT_QUOTED if quote == byte and last != BACKSLASH else quote
    if byte in QUOTES:
        return byte
    if last == SLASH and byte == STAR:
        return BLOCK_COMMENT
    return LINE_COMMENT if byte == NUMBER_SIGN or (last == SLASH and byte == SLASH) else NOT_QUOTED


@inlined
def _end_word(text_state: TextState, position: Number) -> None:
    hashes = text_state.hashes
    hashes[WORD_3], hashes[WORD_2], hashes[WORD_1] = hashes[WORD_2], hashes[WORD_1], hashes[WORD]
    hashes[WORD] = 0
    text_state.numbers[WORD_START] = position
    if hashes[FIRST_WORD] == 0:
        hashes[FIRST_WORD] = hashes[WORD_1]


@inlined
def _bracket(text_state: TextState, byte: Number) -> None:
    depth = text_state.numbers[DEPTH]
    if byte in (40, 91, 123):  # ( [ {
        if depth < MAX_DEPTH:
            text_state.brackets[depth, BRACKET] = byte
            text_state.brackets[depth, WORD_BEFORE] = text_state.hashes[WORD_1]
            text_state.brackets[depth, COMMAS] = 0
        text_state.numbers[DEPTH] = depth + 1
    elif byte in (41, 93, 125):  # ) ] }
        text_state.numbers[DEPTH] = max(depth - 1, 0)
    elif byte in (COMMA, SEMICOLON) and 0 < depth <= MAX_DEPTH:
        text_state.brackets[depth - 1, COMMAS] += 1
