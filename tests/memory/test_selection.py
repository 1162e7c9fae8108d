"""Rows of weights: whatever the text, each context selects one of its own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cllm.memory.contexts import NUM_CONTEXTS
from cllm.memory.selection import MIXER_ROWS, NUM_SELECTED, OTHER_ROWS, STARTS, select, select_seen
from cllm.memory.state import NUM_MATCHES
from cllm.memory.text import advance, begin_text, new_cursor, place_hashes


@given(
    text=st.binary(min_size=1, max_size=60) | st.text("([{,;\"'`/*#\n aA_", min_size=1, max_size=90).map(str.encode),
    decision=st.integers(0, 8),
    before=st.integers(0, 255),
    match=st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 2)),
    network=st.tuples(st.integers(0, 11), st.integers(0, 8)),
    expected=st.integers(-1, 1023),
    seen=st.tuples(st.integers(0, 4), st.integers(0, NUM_CONTEXTS), st.integers(0, NUM_CONTEXTS)),
)
def test_every_row_is_its_contexts(
    text: bytes,
    decision: int,
    before: int,
    match: tuple[int, int, int],
    network: tuple[int, int],
    expected: int,
    seen: tuple[int, int, int],
) -> None:
    content, cursor = np.frombuffer(text, np.uint8).copy(), new_cursor(NUM_MATCHES)
    begin_text(cursor, np.int64(0), place_hashes("src/a.c"))
    for position, byte in enumerate(text[:-1]):
        advance(cursor, np.int64(byte), np.int64(position))
    cursor.match_length[:], says = match[:2], match[2]
    path = (1 << decision) | before >> (8 - decision)
    rows = np.full(NUM_SELECTED, -1)
    known = np.full(NUM_CONTEXTS, expected)
    select(rows, cursor, known, content, np.int64(len(text) - 1), decision, path, says, *network)
    select_seen(rows, decision, 1, *seen)
    sizes = np.array([*MIXER_ROWS, *OTHER_ROWS])
    assert (np.array(STARTS) <= rows).all() and (rows < np.array(STARTS) + sizes).all()


def test_rows_of_contexts_do_not_overlap() -> None:
    for starts, sizes in ((STARTS[: len(MIXER_ROWS)], MIXER_ROWS), (STARTS[len(MIXER_ROWS) :], OTHER_ROWS)):
        assert all(start + size == after for start, size, after in zip(starts, sizes, starts[1:], strict=False))
