"""Bit histories: the zeros and ones that one decision had in a context, as a one-byte state.

A history counts zeros and ones, and has the last bit if both occurred. Older bits count less: a bit reduces a high
count of the other kind, so the history adapts quickly to a change. Counts are bounded, the lower the more evenly they
are mixed, so that all histories fit into a byte. A history is not a probability: the probability of a one after it is
trained for each context separately (`prediction.py`).

The idea is that of the nonstationary states of PAQ6 (Mahoney 2005, "Adaptive weighing of context models for lossless
data compression"); the table is generated here by a simpler rule.
"""

import numpy as np
import numpy.typing as npt

# Largest count of one kind, by the count of the other.
MAX_COUNTS = (40, 30, 12, 8, 6, 5)
# A count after a bit of the other kind: up to two are kept, higher ones shrink to about their logarithm.
DISCOUNTED = (0, 1, 2, 2, 3, 3, 4, 4, 5)

History = tuple[int, int, int]  # zeros, ones, the last bit (0 where only one kind was seen)


def next_history(history: History, bit: int) -> History:
    """The history after one more bit."""
    counts = [history[0], history[1]]
    counts[1 - bit] = DISCOUNTED[min(counts[1 - bit], len(DISCOUNTED) - 1)]
    counts[bit] = min(counts[bit] + 1, MAX_COUNTS[counts[1 - bit]])
    return counts[0], counts[1], bit if counts[0] and counts[1] else 0


def all_histories() -> list[History]:
    """All reachable histories, the empty one first."""
    found: list[History] = [(0, 0, 0)]
    for history in found:  # grows while it is walked
        found += [next_ for next_ in (next_history(history, 0), next_history(history, 1)) if next_ not in found]
    return found


def run_histories() -> npt.NDArray[np.uint8]:
    """State (41, 2) uint8 of a history of equal bits, by their number and the bit."""
    number = {history: n for n, history in enumerate(all_histories())}
    counts = range(MAX_COUNTS[0] + 1)
    return np.array([[number[count, 0, 0], number[0, count, 0]] for count in counts], np.uint8)


def history_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """By state: next state for each bit (256, 2), bits counted (256,), initial probability of a one (256,)."""
    histories = all_histories()
    number = {history: n for n, history in enumerate(histories)}
    next_ = np.zeros((256, 2), np.uint8)
    num_seen = np.zeros(256, np.uint8)
    initial_p_one = np.full(256, 0.5, np.float32)
    for history, n in number.items():
        next_[n] = number[next_history(history, 0)], number[next_history(history, 1)]
        num_seen[n] = history[0] + history[1]
        initial_p_one[n] = (history[1] + 0.4) / (history[0] + history[1] + 0.8)
    return next_, num_seen, initial_p_one
