"""Runs against the slots of bit histories that they replace."""

import numpy as np
import pytest

from cllm.memory.mixer.decisions import HIGH_BIT
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.histories import all_histories, history_tables, next_history, run_histories
from cllm.memory.mixer.journal import Journal, begin_section, new_journal, rollback
from cllm.memory.mixer.runs import MAX_RUN_COUNT, RUNS_PER_BUCKET, find_runs, learn_run
from cllm.memory.mixer.slots import find_slot, history_in_slot, slot_key_of
from cllm.memory.mixer.state import (
    NON_DETERMINISTIC,
    UNKNOWN,
    ContextState,
    MixerState,
    new_context_state,
    new_mixer_state,
)

NEXT_HISTORY, _, _ = history_tables()
HASH = np.uint64(0xABCDEF0123456789)


def learn_symbols(state: MixerState, hash_: np.uint64, symbols: list[int], journal: Journal | None = None) -> None:
    """Train the context with this hash on these symbols, one after another."""
    for symbol in symbols:
        learn_run(state, journal or new_journal(state.slots, 0), hash_, -1, symbol)


def look_up_runs(state: MixerState, hash_: np.uint64) -> ContextState:
    context_state = new_context_state()
    context_state.contexts[0] = hash_
    find_runs(state, context_state)
    return context_state


def test_run_histories_are_the_histories_of_equal_bits() -> None:
    histories = all_histories()
    for bit in (0, 1):
        history = (0, 0, 0)
        for count in range(1, MAX_RUN_COUNT + 1):
            history = next_history(history, bit)
            assert histories[run_histories()[count, bit]] == history


def test_a_run_expects_its_symbol() -> None:
    state = new_mixer_state(64, 1024)
    learn_symbols(state, HASH, [256 | 65] * 3)
    context_state = look_up_runs(state, HASH)
    assert context_state.expected[:2].tolist() == [512 | 256 | 65, UNKNOWN]
    assert context_state.counts[0] == 3
    assert context_state.runs[1] == -1


def test_the_count_of_a_run_is_bounded() -> None:
    state = new_mixer_state(64, 1024)
    learn_symbols(state, HASH, [65] * (MAX_RUN_COUNT + 5))
    assert look_up_runs(state, HASH).counts[0] == MAX_RUN_COUNT


@pytest.mark.parametrize("one,other", [(65, 256 | 65), (65, 66), (65, 200), (256 | 200, 255)])
@pytest.mark.parametrize("count", [1, 2, MAX_RUN_COUNT])
def test_a_run_followed_by_another_byte_is_written_to_slots(one: int, other: int, count: int) -> None:
    """Reference implementation: the histories are updated by each decision of each byte."""
    state = new_mixer_state(1 << 12, 1024)
    learn_symbols(state, HASH, [one] * count)
    learn_symbols(state, HASH, [other])
    assert look_up_runs(state, HASH).expected[0] == NON_DETERMINISTIC
    histories: dict[tuple[int, int], int] = {}
    for symbol in [one] * count + [other]:
        partial = 1
        for decision in range(9):
            bit = symbol >> (8 - decision) & 1
            if decision != HIGH_BIT:
                place = slot_key_of(decision, partial), history_in_slot(decision, partial)
                histories[place] = NEXT_HISTORY[histories.get(place, 0), bit]
            partial = partial * 2 + bit
    journal = new_journal(state.slots, 0)
    for (key, history_index), history in histories.items():
        slot = find_slot(state, journal, HASH if key == 0 else np.uint64(combine(HASH, key)), False)
        assert state.slots[slot, history_index] == history


def test_a_run_with_the_lowest_count_is_evicted() -> None:
    state = new_mixer_state(1 << 12, RUNS_PER_BUCKET)  # all runs share one bucket
    learn_symbols(state, HASH, [65] * 5)
    for number in range(40):
        learn_symbols(state, np.uint64(combine(number, 3)), [66])
    assert np.count_nonzero(state.runs) == RUNS_PER_BUCKET
    assert look_up_runs(state, HASH).counts[0] == 5


def test_the_journal_restores_runs() -> None:
    state = new_mixer_state(1 << 12, 1024)
    learn_symbols(state, HASH, [65])
    before = state.slots.copy()
    journal = new_journal(state.slots, 1000)
    learn_symbols(state, HASH, [66], journal)
    assert (state.slots != before).any()
    rollback(journal, state.slots, 0)
    assert (state.slots == before).all()


def test_the_last_section_of_a_journal_is_rolled_back_alone() -> None:
    state = new_mixer_state(1 << 12, 1024)
    journal = new_journal(state.slots, 1000, has_sections=True)
    contents, sizes = [], []
    for symbol in (65, 66, 65):
        contents.append(state.slots.copy())
        sizes.append(begin_section(journal))
        learn_symbols(state, HASH, [symbol], journal)
    assert sizes == sorted(set(sizes)) and not np.array_equal(contents[1], contents[2])
    rollback(journal, state.slots, sizes[2])
    assert np.array_equal(state.slots, contents[2])
    learn_symbols(state, HASH, [67], journal)
    rollback(journal, state.slots, 0)
    assert np.array_equal(state.slots, contents[0])
