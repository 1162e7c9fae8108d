"""What came last after the same two bytes, or after the same word: contexts once removed.

Where a pair of words was never seen, what followed the first one before may still say what comes (the indirect contexts
of the PAQ series).
"""

import numpy as np

from cllm.compiled import Array, Number, inlined

AFTER_TWO, AFTER_WORD = 0, 1  # tables
NUM_TABLES = 2
NUM_PLACES = 1 << 16  # in each
# Columns of notes, which are kept until a token is learned.
TABLE, PLACE, VALUE = 0, 1, 2
NOTES_PER_BYTE = 2


@inlined
def place_of(hash_: Number) -> Number:
    """Where in a table a context's follower is."""
    return np.int64(hash_ & np.uint64(NUM_PLACES - 1))


@inlined
def after_two(one: Number, two: Number) -> Number:
    """The place for the last byte and the one before it."""
    return np.int64(one) | np.int64(two) << 8


@inlined
def note(notes: Array, count: Number, table: Number, place: Number, value: Number) -> Number:
    """Keep in mind what followed; how many notes there are then."""
    notes[count, TABLE], notes[count, PLACE], notes[count, VALUE] = table, place, value
    return count + 1


@inlined
def learn_followers(followers: Array, notes: Array, count: Number) -> None:
    """Enter the notes: the last bytes and this one, or the word."""
    for number in range(count):
        table, place = notes[number, TABLE], notes[number, PLACE]
        value = np.uint32(notes[number, VALUE])
        if table != AFTER_WORD:
            value |= followers[table, place] << np.uint32(8)
        followers[table, place] = value
