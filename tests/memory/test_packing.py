"""Packed tables: what is packed is unpacked to the same, and what does not fit is told."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cllm.memory.packing import pack_runs, pack_slots, unpack_runs, unpack_slots, xor_slots

# Half of the bytes are zero, and some slots have none or 16 that are not.
BYTES = st.one_of(st.just(0), st.integers(0, 255))
SLOTS = st.integers(0, 9).flatmap(lambda count: arrays(np.uint8, (count, 16), elements=BYTES))
RUNS = st.integers(0, 40).flatmap(lambda count: arrays(np.uint32, count, elements=st.integers(0, (1 << 24) - 1)))


def others(packed: np.ndarray) -> list[np.ndarray]:
    """Packed texts that hold something more or less."""
    shorter = [packed[:-1]] if len(packed) else []
    return [np.append(packed, np.uint8(1)), *shorter]


@given(SLOTS)
def test_slots_are_unpacked_to_the_same(slots: np.ndarray) -> None:
    packed = pack_slots(slots)
    expected = b"".join(
        sum(1 << int(column) for column in np.flatnonzero(slot)).to_bytes(2, "little") + slot[slot != 0].tobytes()
        for slot in slots
    )
    assert packed.tobytes() == expected
    found = np.full_like(slots, 7)
    assert unpack_slots(packed, found) and np.array_equal(found, slots)
    assert not any(unpack_slots(other, found) for other in others(packed))


@given(RUNS)
def test_runs_are_unpacked_to_the_same(runs: np.ndarray) -> None:
    packed, found = pack_runs(runs), np.zeros_like(runs)
    assert unpack_runs(packed, found) and np.array_equal(found, runs)
    assert not any(unpack_runs(other, np.zeros_like(runs)) for other in others(packed))


@given(SLOTS, SLOTS)
def test_differences_of_changed_rows_are_applied(rows: np.ndarray, slots: np.ndarray) -> None:
    is_changed = np.zeros(len(rows), np.bool_)
    is_changed[::2] = True
    numbers = np.flatnonzero(is_changed)[: len(slots)]
    is_changed[numbers[-1] + 1 if len(numbers) else 0 :] = False
    differences = slots[: len(numbers)]
    expected, found, buffer = rows.copy(), rows.copy(), np.empty((1, 16), np.uint8)
    expected[numbers] ^= differences
    packed, bits = pack_slots(differences), np.packbits(is_changed)
    assert xor_slots(packed, bits, found, buffer) and np.array_equal(found, expected)
    assert not any(xor_slots(other, bits, rows.copy(), buffer) for other in others(packed))
    assert not xor_slots(
        pack_slots(np.ones((1, 16), np.uint8)), np.full(len(rows) // 8 + 1, 255, np.uint8), rows, buffer
    )
