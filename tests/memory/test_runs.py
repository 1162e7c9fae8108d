"""Runs, which stand for lines of histories, against those lines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.memory.decisions import HIGH_BIT
from cllm.memory.hashing import combine
from cllm.memory.histories import after, all_histories, pure_runs, tables
from cllm.memory.journal import Journal, new_journal, undo
from cllm.memory.lines import find_line, line_key, node_in_line
from cllm.memory.runs import MOST, PLACE_RUNS, find_runs, learn_run
from cllm.memory.state import SEVERAL, UNKNOWN, Learned, Work, new_learned, new_work
from cllm.memory.store import RUNS, read_runs, write_runs

NEXT, _, _ = tables()
HASH = np.uint64(0xABCDEF0123456789)


def see(learned: Learned, hash_: np.uint64, symbols: list[int], journal: Journal | None = None) -> None:
    """Let a context with this hash be followed by these bytes, one after another."""
    for symbol in symbols:
        learn_run(learned, journal or new_journal(learned.lines, 0), hash_, -1, symbol)


def look(learned: Learned, hash_: np.uint64) -> Work:
    work = new_work()
    work.contexts[0] = hash_
    find_runs(learned, work)
    return work


def test_equal_bits_have_the_history_that_they_lead_to() -> None:
    histories = all_histories()
    for bit in (0, 1):
        history = (0, 0, 0)
        for count in range(1, MOST + 1):
            history = after(history, bit)
            assert histories[pure_runs()[count, bit]] == history


def test_what_was_always_the_same_is_expected() -> None:
    learned = new_learned(64, 1024)
    see(learned, HASH, [256 | 65] * 3)
    work = look(learned, HASH)
    assert work.expected[:2].tolist() == [512 | 256 | 65, UNKNOWN]
    assert work.counts[0] == 3
    assert work.runs[1] == -1


def test_a_count_is_bounded() -> None:
    learned = new_learned(64, 1024)
    see(learned, HASH, [65] * (MOST + 5))
    assert look(learned, HASH).counts[0] == MOST


@pytest.mark.parametrize("one,other", [(65, 256 | 65), (65, 66), (65, 200), (256 | 200, 255)])
@pytest.mark.parametrize("count", [1, 2, MOST])
def test_another_byte_makes_the_lines_that_histories_alone_would_be(one: int, other: int, count: int) -> None:
    """The slow twin: every decision of every byte, entered one by one."""
    learned = new_learned(1 << 12, 1024)
    see(learned, HASH, [one] * count)
    see(learned, HASH, [other])
    assert look(learned, HASH).expected[0] == SEVERAL
    histories: dict[tuple[int, int], int] = {}
    for symbol in [one] * count + [other]:
        path = 1
        for decision in range(9):
            bit = symbol >> (8 - decision) & 1
            if decision != HIGH_BIT:
                place = line_key(decision, path), node_in_line(decision, path)
                histories[place] = NEXT[histories.get(place, 0), bit]
            path = path * 2 + bit
    journal = new_journal(learned.lines, 0)
    for (key, node), history in histories.items():
        line = find_line(learned, journal, HASH if key == 0 else np.uint64(combine(HASH, key)), False)
        assert learned.lines[line, node] == history


def test_the_least_seen_makes_room() -> None:
    learned = new_learned(1 << 12, PLACE_RUNS)  # all runs share one place
    see(learned, HASH, [65] * 5)
    for number in range(40):
        see(learned, np.uint64(combine(number, 3)), [66])
    assert np.count_nonzero(learned.runs) == PLACE_RUNS
    assert look(learned, HASH).counts[0] == 5


def test_a_journal_puts_runs_back() -> None:
    learned = new_learned(1 << 12, 1024)
    see(learned, HASH, [65])
    before = learned.lines.copy()
    journal = new_journal(learned.lines, 1000)
    see(learned, HASH, [66], journal)
    assert (learned.lines != before).any()
    undo(journal, learned.lines)
    assert (learned.lines == before).all()


@given(st.lists(st.integers(0, (1 << 24) - 1), max_size=40))
def test_runs_on_disk_are_those_in_memory_and_no_others_fit(
    tmp_path_factory: pytest.TempPathFactory, runs: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    written = np.array(runs, np.uint32)
    write_runs(written, folder)
    loaded = np.zeros_like(written)
    read_runs(loaded, folder)
    assert np.array_equal(loaded, written)
    content = (folder / RUNS).read_bytes()
    for other in {content + b"\1", content[:-1]} - {content}:
        (folder / RUNS).write_bytes(other)
        with pytest.raises(ValueError, match=RUNS):
            read_runs(np.zeros_like(written), folder)
