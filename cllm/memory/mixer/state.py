"""What the memory has learned, and the room it works in: plain arrays, allocated in one place."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.jit.compiled import Array, Number, inlined
from cllm.memory.mixer.contexts import NUM_CONTEXTS
from cllm.memory.mixer.decisions import NUM_DECISIONS
from cllm.memory.mixer.histories import history_tables
from cllm.memory.mixer.indirect import INDIRECT_UPDATES_PER_BYTE, NUM_INDIRECT_SLOTS, NUM_INDIRECT_TABLES
from cllm.memory.mixer.mixing import APM_BINS, APM_INIT
from cllm.memory.mixer.selection import EXPECTED, MIXER_ROWS, NUM_MIXERS, NUM_SELECTED, OTHER_ROWS, VOTES

NUM_MATCHES = 2
NUM_INPUTS = 2 * NUM_CONTEXTS + 2 * NUM_MATCHES + 2  # each twice, and the network twice
NUM_OUTPUTS = 16  # of mixers, the network's chance, and zeros: a piece of the processor's cache
NUM_WEIGHTS = NUM_INPUTS + NUM_OUTPUTS  # in a row: a mixer's, and then those that mix the mixers
assert NUM_INPUTS % 16 == 0 and NUM_MIXERS < NUM_OUTPUTS
# Of the adaptive maps: by the last byte and by three (2^16: the same bits, a third slower to read), by what the match
# expects and by the votes.
HASHED_ROWS = 1 << 14
APM_ROWS = (HASHED_ROWS, HASHED_ROWS, MIXER_ROWS[EXPECTED], OTHER_ROWS[VOTES - NUM_MIXERS])
NUM_APMS = len(APM_ROWS)
APM_OFFSETS = tuple(APM_BINS * int(start) for start in np.cumsum([0, *APM_ROWS[:-1]]))
MATCH_SLOTS = 1 << 20
SLOT_BYTES = 16
RUNS_PER_ROW = 4  # in the room of a line
CACHE_LINE_BYTES = 64  # what the processor fetches at once
UNKNOWN, NON_DETERMINISTIC = 0, -1  # what a context expects; else a 1, whether a token begins, and the byte
NUM_DECISION_KINDS = 2  # of decisions, each with its own probabilities: where a token ends, and bits of bytes


class MixerState(NamedTuple):
    """All that learning changes.

    slots                (N, 16) uint8     a check byte, then bit histories of the 15 nodes of a part of a byte; the
                                           last M / 4 of them hold the runs
    runs                 (M,) uint32       what contexts have seen that was always the same (`runs`)
    p_one, rate          (2, C, 256)       of a one after a history; at which rate it is corrected
    weights              (rows, 112)       of the mixers, and behind each row one that mixes them (`selection`)
    final_weights        (rows, 16)        more rows of those that mix them
    apms                 (places,)         adaptive probability maps, one after another, of rows with 33 places each
    match_slots          (2, 2^20) int32   where a hash of the last bytes was seen last
    match_p_one          (2, 2, 64, 2)     of a one, by decision, length and the bit that the match predicts
    high_bit_p_one       (256, 2)          that a byte is not ASCII, after a byte, at a token's start or not
    end_probability      (4,)              that a text ends here
    indirect             (2, 2^16) uint32  what came last after bytes, or after a word (`indirect`)
    """

    slots: Array
    runs: Array
    p_one: Array
    rate: Array
    weights: Array
    final_weights: Array
    apms: Array
    match_slots: Array
    match_p_one: Array
    high_bit_p_one: Array
    end_probability: Array
    indirect: Array


TABLES = ("slots", "runs")  # what is kept slot by slot, in a journal and on disk


class ContextState(NamedTuple):
    """Room for what is known of a byte: of each context (C,) its hash, that of its line, the line or -1, the run or -1.

    `expected`: UNKNOWN, NON_DETERMINISTIC, or a 1, whether a token begins, and the byte of a run, seen `counts` times.
    """

    contexts: Array
    hashes: Array
    slots: Array
    runs: Array
    expected: Array
    counts: Array


class PredictionTrace(NamedTuple):
    """Room for the decisions of one token, which are learned when all of them were predicted: R of them.

    decisions         (R, 3) int64   the decision, the path before it, its bit
    slots             (R, C) int64   where the contexts' histories lie, or -1
    histories         (R, C) int64   what they were
    inputs            (R, inputs)
    rows              (R, selected)  the rows of weights
    outputs           (R, 16)        of the mixers, stretched; and what the network says
    probabilities     (R, mixers)    of the mixers, squashed
    apm_bins          (R, maps)
    matches           (R, 2)         places in `match_p_one`, or -1
    final             (R, 2)         the last mixers' chance, and where it lies between two places of the maps
    indirect_updates  (N, 3) int64   what followed what (`indirect`)
    contexts          (B, C) uint64  of the bytes, their runs (B, C) int64 or -1,
                                 and the bytes as runs have them (B,) int64
    """

    decisions: Array
    slots: Array
    histories: Array
    inputs: Array
    rows: Array
    outputs: Array
    probabilities: Array
    apm_bins: Array
    matches: Array
    final: Array
    indirect_updates: Array
    contexts: Array
    runs: Array
    symbols: Array


def aligned_zeros(count: int, width: int, dtype: npt.DTypeLike) -> Array:
    """Zeros (count, width) that begin where a piece of the processor's cache does (NumPy aligns to 16 bytes alone)."""
    size = count * width * np.dtype(dtype).itemsize
    buffer = np.zeros(size + CACHE_LINE_BYTES, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE_BYTES
    return buffer[start : start + size].view(dtype).reshape(count, width)


def new_mixer_state(num_slots: int, num_runs: int) -> MixerState:
    """Nothing learned yet, with so many lines and runs, each a power of two."""
    _, _, initial_p_one = history_tables()
    weights = aligned_zeros(sum(MIXER_ROWS), NUM_WEIGHTS, np.float32)
    weights[:, :NUM_CONTEXTS] = 0.12
    weights[:, NUM_INPUTS - 2] = 0.15
    final_weights = aligned_zeros(sum(OTHER_ROWS), NUM_OUTPUTS, np.float32)
    final_weights[:, :NUM_MIXERS] = weights[:, NUM_INPUTS : NUM_INPUTS + NUM_MIXERS] = 1 / NUM_MIXERS
    match_p_one = np.empty((NUM_MATCHES, NUM_DECISION_KINDS, 64, 2), np.float32)
    match_p_one[..., 0], match_p_one[..., 1] = 0.1, 0.9
    slots = aligned_zeros(num_slots + num_runs // RUNS_PER_ROW, SLOT_BYTES, np.uint8)
    return MixerState(
        slots=slots,
        runs=slots[num_slots:].reshape(-1).view(np.uint32),
        p_one=np.tile(initial_p_one, (NUM_DECISION_KINDS, NUM_CONTEXTS, 1)),
        rate=np.full((NUM_DECISION_KINDS, NUM_CONTEXTS, 256), 1 / 4, np.float32),
        weights=weights,
        final_weights=final_weights,
        apms=np.tile(APM_INIT, sum(APM_ROWS)),
        match_slots=np.zeros((NUM_MATCHES, MATCH_SLOTS), np.int32),
        match_p_one=match_p_one,
        high_bit_p_one=np.full((256, 2), 0.01, np.float32),
        end_probability=np.full(4, 0.01, np.float32),
        indirect=np.zeros((NUM_INDIRECT_TABLES, NUM_INDIRECT_SLOTS), np.uint32),
    )


@inlined
def num_slots(state: MixerState) -> Number:
    """How many of the table's rows are lines; runs come after them."""
    return len(state.slots) - len(state.runs) // RUNS_PER_ROW


def new_context_state() -> ContextState:
    """Empty room for one cursor."""
    contexts, hashes = np.zeros((2, NUM_CONTEXTS), np.uint64)
    return ContextState(contexts, hashes, *np.zeros((4, NUM_CONTEXTS), np.int64))


def new_prediction_trace(num_bytes: int) -> PredictionTrace:
    """Empty room for the decisions of so many bytes."""
    num_decisions = NUM_DECISIONS * num_bytes
    return PredictionTrace(
        decisions=np.zeros((num_decisions, 3), np.int64),
        slots=np.zeros((num_decisions, NUM_CONTEXTS), np.int64),
        histories=np.zeros((num_decisions, NUM_CONTEXTS), np.int64),
        inputs=aligned_zeros(num_decisions, NUM_INPUTS, np.float32),
        rows=np.zeros((num_decisions, NUM_SELECTED), np.int64),
        outputs=aligned_zeros(num_decisions, NUM_OUTPUTS, np.float32),
        probabilities=np.zeros((num_decisions, NUM_MIXERS), np.float32),
        apm_bins=np.zeros((num_decisions, NUM_APMS), np.int64),
        matches=np.zeros((num_decisions, NUM_MATCHES), np.int64),
        final=np.zeros((num_decisions, 2), np.float32),
        indirect_updates=np.zeros((INDIRECT_UPDATES_PER_BYTE * num_decisions, 3), np.int64),
        contexts=np.zeros((num_bytes, NUM_CONTEXTS), np.uint64),
        runs=np.zeros((num_bytes, NUM_CONTEXTS), np.int64),
        symbols=np.zeros(num_bytes, np.int64),
    )
