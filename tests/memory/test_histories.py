from hypothesis import given
from hypothesis import strategies as st

from cllm.memory.mixer.histories import MAX_COUNTS, all_histories, history_tables, next_history

BITS = st.lists(st.integers(0, 1), max_size=200)


def test_every_history_fits_into_a_byte() -> None:
    assert len(all_histories()) <= 256
    assert all_histories()[0] == (0, 0, 0)


@given(BITS)
def test_counts_are_bounded_and_the_tables_follow_next_history(bits: list[int]) -> None:
    histories = all_histories()
    next_, num_seen, initial_p_one = history_tables()
    history, number = (0, 0, 0), 0
    for bit in bits:
        history, number = next_history(history, bit), int(next_[number, bit])
        assert histories[number] == history
        assert max(history[:2]) <= MAX_COUNTS[min(history[:2])]
        assert num_seen[number] == history[0] + history[1]
        assert (initial_p_one[number] > 0.5) == (history[1] > history[0]) or history[0] == history[1]


def test_short_histories_have_exact_counts_and_the_last_bit() -> None:
    assert next_history(next_history((0, 0, 0), 0), 1) == (1, 1, 1)
    assert next_history(next_history((0, 0, 0), 1), 0) == (1, 1, 0)


def test_a_history_adapts_quickly_to_a_change() -> None:
    history = (0, 0, 0)
    for _ in range(40):
        history = next_history(history, 0)
    assert history[:2] == (40, 0)
    for _ in range(5):
        history = next_history(history, 1)
    assert history[1] > history[0]
