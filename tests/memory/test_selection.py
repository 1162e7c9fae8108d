"""Rows of weights: whatever the text, each context selects one of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.jit.compiled import Array, compiled
from cllm.memory.mixer.contexts import NUM_CONTEXTS
from cllm.memory.mixer.decisions import Decision
from cllm.memory.mixer.mixing import APM_BINS
from cllm.memory.mixer.selection import (
    APM_OFFSETS,
    APM_ROWS,
    MIXER_ROWS,
    NETWORK,
    NUM_SELECTORS,
    OTHER_ROWS,
    ROW_OFFSETS,
    init_network_rows,
    select_late_rows,
    select_rows,
)
from cllm.memory.mixer.simd import train_weights
from cllm.memory.mixer.state import NUM_MATCHES, new_mixer_state
from cllm.memory.mixer.text_state import advance, new_text_state, path_hashes, reset_text_state


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
    content, text_state = np.frombuffer(text, np.uint8).copy(), new_text_state(NUM_MATCHES)
    reset_text_state(text_state, np.int64(0), path_hashes("src/a.c"))
    for position, byte in enumerate(text[:-1]):
        advance(text_state, np.int64(byte), np.int64(position))
    text_state.match_length[:], match_bit = match[:2], match[2]
    partial = (1 << decision) | before >> (8 - decision)
    rows = np.full(NUM_SELECTORS, -1)
    select_rows(
        rows,
        text_state,
        np.full(NUM_CONTEXTS, expected),
        content,
        np.int64(len(text) - 1),
        Decision(decision, partial, 0, 256),
        match_bit,
        *network,
    )
    select_late_rows(rows, decision, 1, *seen)
    sizes = np.array([*MIXER_ROWS, *OTHER_ROWS])
    assert (np.array(ROW_OFFSETS) <= rows).all() and (rows < np.array(ROW_OFFSETS) + sizes).all()


def test_the_rows_of_what_a_network_says_begin_as_those_of_its_silence() -> None:
    size, begin = MIXER_ROWS[NETWORK], ROW_OFFSETS[NETWORK]
    weights = np.random.default_rng(0).random((sum(MIXER_ROWS), 4))
    before = weights.copy()
    init_network_rows(weights)
    for match_bit in range(6):
        assert (weights[begin + match_bit : begin + size : 6] == before[begin + match_bit]).all()
    weights[begin : begin + size] = before[begin : begin + size]
    assert (weights == before).all()


def test_a_memory_begins_to_hear_in_its_own_weights() -> None:
    weights = new_mixer_state(1 << 4, 1 << 6).weights
    weights[ROW_OFFSETS[NETWORK]] = 7
    init_network_rows(weights)
    assert (weights[ROW_OFFSETS[NETWORK] + 6] == 7).all() and not (weights[ROW_OFFSETS[NETWORK] + 7] == 7).any()


def test_there_are_weights_for_all_rows() -> None:
    state = new_mixer_state(4, 16)
    assert len(state.weights) == ROW_OFFSETS[len(MIXER_ROWS) - 1] + MIXER_ROWS[-1]
    assert len(state.final_weights) == ROW_OFFSETS[-1] + OTHER_ROWS[-1]
    assert len(state.apms) == APM_OFFSETS[-1] + APM_BINS * APM_ROWS[-1]


@pytest.mark.parametrize("length", [8, 96])
def test_a_row_is_corrected_as_numpy_would(length: int) -> None:
    rng = np.random.default_rng(0)
    weights, inputs = rng.random((5, 112), np.float32), rng.random((3, 96), np.float32)
    expected = weights.copy()
    expected[3, 8 : 8 + length] += np.float32(0.5) * inputs[2, :length]

    @compiled
    def train_row(weights: Array, inputs: Array) -> None:
        train_weights(weights, 3, 8, inputs, 2, length, np.float32(0.5))

    train_row(weights, inputs)
    assert np.allclose(weights, expected, atol=1e-6)
