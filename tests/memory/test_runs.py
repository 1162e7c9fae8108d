"""Runs against the slots of bit histories that they stand for, and their storage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.memory.mixer.decisions import HIGH_BIT
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.histories import all_histories, history_tables, next_history, run_histories
from cllm.memory.mixer.journal import Journal, new_journal, rollback
from cllm.memory.mixer.runs import MAX_RUN_COUNT, RUNS_PER_BUCKET, find_runs, learn_run
from cllm.memory.mixer.slots import find_slot, node_in_slot, slot_key_of
from cllm.memory.mixer.state import (
    NON_DETERMINISTIC,
    UNKNOWN,
    ContextState,
    MixerState,
    new_context_state,
    new_mixer_state,
)
from cllm.memory.store import RUNS, read_runs, write_runs

NEXT_HISTORY, _, _ = history_tables()
HASH = np.uint64(0xABCDEF0123456789)


def train_symbols(state: MixerState, hash_: np.uint64, symbols: list[int], journal: Journal | None = None) -> None:
    """Train the run of a context with this hash on symbols, one after another."""
    for symbol in symbols:
        learn_run(state, journal or new_journal(state.slots, 0), hash_, -1, symbol)


def look_up_runs(state: MixerState, hash_: np.uint64) -> ContextState:
    context_state = new_context_state()
    context_state.contexts[0] = hash_
    find_runs(state, context_state)
    return context_state


def test_run_histories_equal_repeated_next_history() -> None:
    histories = all_histories()
    for bit in (0, 1):
        history = (0, 0, 0)
        for count in range(1, MAX_RUN_COUNT + 1):
            history = next_history(history, bit)
            assert histories[run_histories()[count, bit]] == history


def test_repeated_byte_is_expected_with_its_count() -> None:
    state = new_mixer_state(64, 1024)
    train_symbols(state, HASH, [256 | 65] * 3)
    context_state = look_up_runs(state, HASH)
    assert context_state.expected[:2].tolist() == [512 | 256 | 65, UNKNOWN]
    assert context_state.counts[0] == 3
    assert context_state.runs[1] == -1


def test_run_count_is_bounded() -> None:
    state = new_mixer_state(64, 1024)
    train_symbols(state, HASH, [65] * (MAX_RUN_COUNT + 5))
    assert look_up_runs(state, HASH).counts[0] == MAX_RUN_COUNT


@pytest.mark.parametrize("first,second", [(65, 256 | 65), (65, 66), (65, 200), (256 | 200, 255)])
@pytest.mark.parametrize("count", [1, 2, MAX_RUN_COUNT])
def test_second_byte_converts_a_run_into_equal_histories(first: int, second: int, count: int) -> None:
    """The reference implementation trains a history for every decision of every byte."""
    state = new_mixer_state(1 << 12, 1024)
    train_symbols(state, HASH, [first] * count)
    train_symbols(state, HASH, [second])
    assert look_up_runs(state, HASH).expected[0] == NON_DETERMINISTIC
    histories: dict[tuple[int, int], int] = {}
    for symbol in [first] * count + [second]:
        partial = 1
        for decision in range(9):
            bit = symbol >> (8 - decision) & 1
            if decision != HIGH_BIT:
                key_and_node = slot_key_of(decision, partial), node_in_slot(decision, partial)
                histories[key_and_node] = NEXT_HISTORY[histories.get(key_and_node, 0), bit]
            partial = partial * 2 + bit
    journal = new_journal(state.slots, 0)
    for (key, node), history in histories.items():
        slot = find_slot(state, journal, HASH if key == 0 else np.uint64(combine(HASH, key)), False)
        assert state.slots[slot, node] == history


def test_run_with_the_lowest_count_is_replaced() -> None:
    state = new_mixer_state(1 << 12, RUNS_PER_BUCKET)  # all runs share one bucket
    train_symbols(state, HASH, [65] * 5)
    for number in range(40):
        train_symbols(state, np.uint64(combine(number, 3)), [66])
    assert np.count_nonzero(state.runs) == RUNS_PER_BUCKET
    assert look_up_runs(state, HASH).counts[0] == 5


def test_rollback_restores_runs() -> None:
    state = new_mixer_state(1 << 12, 1024)
    train_symbols(state, HASH, [65])
    before = state.slots.copy()
    journal = new_journal(state.slots, 1000)
    train_symbols(state, HASH, [66], journal)
    assert (state.slots != before).any()
    rollback(journal, state.slots)
    assert (state.slots == before).all()


@given(st.lists(st.integers(0, (1 << 24) - 1), max_size=40))
def test_runs_round_trip_and_files_of_another_size_are_rejected(
    tmp_path_factory: pytest.TempPathFactory, runs: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    original = np.array(runs, np.uint32)
    write_runs(original, folder)
    loaded = np.zeros_like(original)
    read_runs(loaded, folder)
    assert np.array_equal(loaded, original)
    content = (folder / RUNS).read_bytes()
    for damaged in {content + b"\1", content[:-1]} - {content}:
        (folder / RUNS).write_bytes(damaged)
        with pytest.raises(ValueError, match=RUNS):
            read_runs(np.zeros_like(original), folder)
