"""Selection of rows of weights and of adaptive probability maps, and the training of a row."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_memory import text_state_after

from cllm.jit.compiled import Array, compiled
from cllm.memory.mixer.contexts import NUM_CONTEXTS
from cllm.memory.mixer.decisions import Decision
from cllm.memory.mixer.mixing import APM_BINS
from cllm.memory.mixer.selection import (
    APM_OFFSETS,
    APM_ROWS,
    MIXER_ROWS,
    NETWORK,
    NUM_HIGH_ORDERS,
    NUM_MIXERS,
    NUM_SELECTORS,
    OTHER_ROWS,
    ROW_OFFSETS,
    init_network_rows,
    select_apm_rows,
    select_late_rows,
    select_rows,
)
from cllm.memory.mixer.simd import train_weights
from cllm.memory.mixer.state import new_mixer_state

NUMBERS_OF_CONTEXTS = st.integers(0, NUM_CONTEXTS)
STATE = new_mixer_state(4, 16)
# Arguments of `selected_rows`.
SELECTIONS = st.fixed_dictionaries(
    {
        "text": st.binary(min_size=1, max_size=60)
        | st.text("([{,;\"'`/*#\n aA_", min_size=1, max_size=90).map(str.encode),
        "decision": st.integers(0, 8),
        "before": st.integers(0, 255),
        "match": st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 2)),
        "network": st.tuples(st.integers(0, 11), st.integers(0, 8)),
        "expected": st.integers(-1, 1023),
        "counts": st.tuples(st.integers(0, NUM_HIGH_ORDERS), NUMBERS_OF_CONTEXTS, NUMBERS_OF_CONTEXTS),
    }
)


def selected_rows(
    text: bytes,
    decision: int,
    before: int,
    match: tuple[int, int, int],
    network: tuple[int, int],
    expected: int,
    counts: tuple[int, int, int],
) -> tuple[Array, int]:
    """Rows (S,) of all selectors for a decision of a text's last byte, and the partial byte before the decision.

    `before`: the bits of the partial byte. `match`: lengths of the two matches, and `match_bit`. `network`:
    `network_bin` and `confidence_bin`. `counts`: `num_known`, `num_ones` and `num_zeros`.
    """
    text_state = text_state_after(text[:-1], "src/a.c")
    text_state.match_length[:] = match[:2]
    partial = (1 << decision) | before >> (8 - decision)
    rows = np.full(NUM_SELECTORS, -1)
    select_rows(
        rows,
        text_state,
        np.full(NUM_CONTEXTS, expected),
        np.frombuffer(text, np.uint8).copy(),
        np.int64(len(text) - 1),
        Decision(decision, partial, 0, 256),
        match[2],
        *network,
    )
    select_late_rows(rows, decision, 1, *counts)
    return rows, partial


@given(SELECTIONS)
def test_each_selector_selects_one_of_its_own_rows(selection: dict[str, Any]) -> None:
    rows, _ = selected_rows(**selection)
    sizes = np.array([*MIXER_ROWS, *OTHER_ROWS])
    assert (np.array(ROW_OFFSETS) <= rows).all() and (rows < np.array(ROW_OFFSETS) + sizes).all()
    assert (rows[:NUM_MIXERS] < len(STATE.weights)).all() and (rows[NUM_MIXERS:] < len(STATE.final_weights)).all()


@given(SELECTIONS, st.integers(0, (1 << 64) - 1), st.integers(0, 255))
def test_each_apm_row_is_in_its_own_map(selection: dict[str, Any], hash_: int, last_byte: int) -> None:
    rows, partial = selected_rows(**selection)
    apm_rows = select_apm_rows(rows, np.full(NUM_CONTEXTS, hash_, np.uint64), partial, last_byte)
    ends = [*APM_OFFSETS[1:], len(STATE.apms)]
    for row, num_rows, offset, end in zip(apm_rows, APM_ROWS, APM_OFFSETS, ends, strict=True):
        assert 0 <= row < num_rows
        assert offset + (row + 1) * APM_BINS <= end


def test_rows_selected_with_a_network_are_initialised_from_those_without() -> None:
    size, begin = MIXER_ROWS[NETWORK], ROW_OFFSETS[NETWORK]
    weights = np.random.default_rng(0).random((sum(MIXER_ROWS), 4))
    before = weights.copy()
    init_network_rows(weights)
    for match_bit in range(6):
        assert (weights[begin + match_bit : begin + size : 6] == before[begin + match_bit]).all()
    weights[begin : begin + size] = before[begin : begin + size]
    assert (weights == before).all()


def test_initialised_network_rows_are_copies_of_trained_rows() -> None:
    weights = new_mixer_state(1 << 4, 1 << 6).weights
    weights[ROW_OFFSETS[NETWORK]] = 7
    init_network_rows(weights)
    assert (weights[ROW_OFFSETS[NETWORK] + 6] == 7).all() and not (weights[ROW_OFFSETS[NETWORK] + 7] == 7).any()


@pytest.mark.parametrize("length", [8, 96])
def test_train_weights_equals_numpy(length: int) -> None:
    rng = np.random.default_rng(0)
    weights, inputs = rng.random((5, 112), np.float32), rng.random((3, 96), np.float32)
    expected = weights.copy()
    expected[3, 8 : 8 + length] += np.float32(0.5) * inputs[2, :length]

    @compiled
    def train_row(weights: Array, inputs: Array) -> None:
        train_weights(weights, 3, 8, inputs, 2, length, np.float32(0.5))

    train_row(weights, inputs)
    assert np.allclose(weights, expected, atol=1e-6)
