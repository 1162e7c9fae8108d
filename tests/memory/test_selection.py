"""Rows of weights: whatever the text, each context selects one of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.compiled import Array, compiled
from cllm.memory.contexts import NUM_CONTEXTS
from cllm.memory.mixing import MAP_PLACES
from cllm.memory.selection import (
    MIXER_ROWS,
    NETWORK,
    NUM_SELECTED,
    OTHER_ROWS,
    STARTS,
    begin_with_network,
    select,
    select_seen,
)
from cllm.memory.state import MAP_ROWS, MAP_STARTS, NUM_MATCHES, new_learned
from cllm.memory.text import advance, begin_text, new_cursor, place_hashes
from cllm.memory.vectors import correct


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
    select(
        rows, cursor, np.full(NUM_CONTEXTS, expected), content, np.int64(len(text) - 1), decision, path, says, *network
    )
    select_seen(rows, decision, 1, *seen)
    sizes = np.array([*MIXER_ROWS, *OTHER_ROWS])
    assert (np.array(STARTS) <= rows).all() and (rows < np.array(STARTS) + sizes).all()


def test_the_rows_of_what_a_network_says_begin_as_those_of_its_silence() -> None:
    size, begin = MIXER_ROWS[NETWORK], STARTS[NETWORK]
    weights = np.random.default_rng(0).random((sum(MIXER_ROWS), 4))
    before = weights.copy()
    begin_with_network(weights)
    for says in range(6):
        assert (weights[begin + says : begin + size : 6] == before[begin + says]).all()
    weights[begin : begin + size] = before[begin : begin + size]
    assert (weights == before).all()


def test_a_memory_begins_to_hear_in_its_own_weights() -> None:
    weights = new_learned(1 << 4, 1 << 6).weights
    weights[STARTS[NETWORK]] = 7
    begin_with_network(weights)
    assert (weights[STARTS[NETWORK] + 6] == 7).all() and not (weights[STARTS[NETWORK] + 7] == 7).any()


def test_there_are_weights_for_all_rows() -> None:
    learned = new_learned(4, 16)
    assert len(learned.weights) == STARTS[len(MIXER_ROWS) - 1] + MIXER_ROWS[-1]
    assert len(learned.final_weights) == STARTS[-1] + OTHER_ROWS[-1]
    assert len(learned.maps) == MAP_STARTS[-1] + MAP_PLACES * MAP_ROWS[-1]


@pytest.mark.parametrize("length", [8, 96])
def test_a_row_is_corrected_as_numpy_would(length: int) -> None:
    drawn = np.random.default_rng(0)
    weights, inputs = drawn.random((5, 112), np.float32), drawn.random((3, 96), np.float32)
    expected = weights.copy()
    expected[3, 8 : 8 + length] += np.float32(0.5) * inputs[2, :length]

    @compiled
    def correct_row(weights: Array, inputs: Array) -> None:
        correct(weights, 3, 8, inputs, 2, length, np.float32(0.5))

    correct_row(weights, inputs)
    assert np.allclose(weights, expected, atol=1e-6)
