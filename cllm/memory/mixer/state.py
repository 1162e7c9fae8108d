"""The memory's trained state and its working buffers: plain arrays, allocated in one place."""

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.jit.compiled import Array, Number, inlined
from cllm.memory.mixer.contexts import NUM_CONTEXTS
from cllm.memory.mixer.decisions import NUM_DECISIONS
from cllm.memory.mixer.histories import history_tables
from cllm.memory.mixer.indirect import INDIRECT_UPDATES_PER_BYTE, NUM_INDIRECT_SLOTS, NUM_INDIRECT_TABLES
from cllm.memory.mixer.mixing import APM_INIT
from cllm.memory.mixer.selection import APM_ROWS, MIXER_ROWS, NUM_APMS, NUM_MIXERS, NUM_SELECTORS, OTHER_ROWS

MIXER_VERSION = 1  # of the meaning of the arrays: raise when a context, selector, row or map changes its meaning
NUM_MATCHES = 2
NUM_INPUTS = 2 * NUM_CONTEXTS + 2 * NUM_MATCHES + 2  # two inputs of each, and two of the network
NUM_OUTPUTS = 16  # of mixers, the network's probability, and zeros: one cache line
NUM_WEIGHTS = NUM_INPUTS + NUM_OUTPUTS  # in a row: those of a mixer, then those of the final mixer
assert NUM_INPUTS % 16 == 0 and NUM_MIXERS < NUM_OUTPUTS
MATCH_SLOTS = 1 << 20
SLOT_BYTES = 16
RUNS_PER_ROW = 4  # 4 bytes each
CACHE_LINE_BYTES = 64
UNKNOWN, NON_DETERMINISTIC = 0, -1  # of `expected`; else a 1 bit, whether a token begins, and the byte
NUM_DECISION_KINDS = 2  # of decisions, each with its own probabilities: whether a token begins, and the bits of bytes


class MixerState(NamedTuple):
    """All that training changes.

    slots                (N, 16) uint8     a check byte, then 15 bit histories (`slots`); the last M / 4 rows hold the
                                           runs
    runs                 (M,) uint32       contexts that were always followed by the same byte (`runs`)
    p_one, rate          (2, C, 256)       probability of a one after a history; its learning rate
    weights              (rows, 112)       of a mixer, and then of the final mixer, in each row (`selection`)
    final_weights        (rows, 16)        further rows of the final mixer
    apms                 (bins,)           adaptive probability maps, concatenated, of rows with 33 bins (`selection`)
    match_slots          (2, 2^20) int32   last position of each hash of the last bytes
    match_p_one          (2, 2, 64, 2)     probability of a one, by match, kind of decision, length and predicted bit
    high_bit_p_one       (256, 2)          probability that a byte is not ASCII, by last byte and token start
    end_probability      (4,)              probability that a text ends here (`coder.end_context`)
    indirect             (2, 2^16) uint32  what last followed two bytes, or a word (`indirect`)
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


TABLES = ("slots", "runs")  # saved row by row, in the journal and on disk


class ContextState(NamedTuple):
    """Look-up results of a byte's contexts, (C,) each: context hash, slot hash, slot index or -1, run index or -1.

    `expected`: UNKNOWN, NON_DETERMINISTIC, or a 1 bit, whether a token begins, and the byte of a run, which followed
    `counts` times.
    """

    contexts: Array
    hashes: Array
    slots: Array
    runs: Array
    expected: Array
    counts: Array


class PredictionTrace(NamedTuple):
    """Trace of the at most R decisions and B bytes of one token, which is trained on after all were predicted.

    decisions         (R, 3) int64   the decision, the partial byte before it, its bit; for HIGH_BIT the partial byte
                                     is replaced by the last byte << 1 | whether a token begins
    slots             (R, C) int64   slots of the contexts' histories, or -1
    histories         (R, C) int64   the histories at the time of prediction
    inputs            (R, inputs)    of the mixers
    rows              (R, S)         rows of weights, by selector (`selection`)
    outputs           (R, 16)        of the mixers, stretched; and the network's probability, stretched
    probabilities     (R, mixers)    of the mixers, squashed
    apm_bins          (R, maps)      indices in `apms` of the lower of the two bins that a map interpolates
    matches           (R, 2)         places in `match_p_one`, or -1
    final             (R, 2)         the final mixer's probability, and its fraction between two bins of the maps
    indirect_updates  (2 B, 3) int64 updates of the indirect contexts (`indirect`)
    contexts          (B, C) uint64  context hashes of the bytes
    runs              (B, C) int64   their runs, or -1
    symbols           (B,) int64     the bytes, with the bit for whether a token begins, as in runs
    counts            (3,) int64     the numbers of decisions, indirect updates, and bytes in the trace
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
    counts: Array


# Columns of `PredictionTrace.decisions` and `PredictionTrace.final`; indices of `PredictionTrace.counts`.
TRACE_DECISION, TRACE_PARTIAL, TRACE_BIT = range(3)
TRACE_PROBABILITY, TRACE_FRACTION = range(2)
NUM_TRACED, NUM_INDIRECT_UPDATES, NUM_BYTES = range(3)


def aligned_zeros(count: int, width: int, dtype: npt.DTypeLike) -> Array:
    """Zeros (count, width), aligned to a cache line of 64 bytes (NumPy aligns to 16 bytes)."""
    size = count * width * np.dtype(dtype).itemsize
    buffer = np.zeros(size + CACHE_LINE_BYTES, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE_BYTES
    return buffer[start : start + size].view(dtype).reshape(count, width)


def small_page_zeros(num_bytes: int) -> Array:
    """Zeros (num_bytes,) uint8 in pages of 4 kB.

    NumPy asks for pages of 2 MB. With these, training takes 8% less time, but the first use of 268 MB takes up to 0.8 s
    instead of 0.15 s where the system has to defragment its memory first (Linux 6.18, a virtual machine, 2026-12-01).
    """
    return np.frombuffer(mmap(-1, num_bytes, flags=MAP_PRIVATE | MAP_ANONYMOUS), np.uint8)


def new_mixer_state(num_slots: int, num_runs: int, *, has_large_pages: bool = True) -> MixerState:
    """An untrained state with these numbers of slots and runs, each a power of two.

    `has_large_pages`: see `small_page_zeros`.
    """
    _, _, initial_p_one = history_tables()
    weights = aligned_zeros(sum(MIXER_ROWS), NUM_WEIGHTS, np.float32)
    weights[:, :NUM_CONTEXTS] = 0.12
    weights[:, NUM_INPUTS - 2] = 0.15
    final_weights = aligned_zeros(sum(OTHER_ROWS), NUM_OUTPUTS, np.float32)
    final_weights[:, :NUM_MIXERS] = weights[:, NUM_INPUTS : NUM_INPUTS + NUM_MIXERS] = 1 / NUM_MIXERS
    match_p_one = np.empty((NUM_MATCHES, NUM_DECISION_KINDS, 64, 2), np.float32)
    match_p_one[..., 0], match_p_one[..., 1] = 0.1, 0.9
    num_rows = num_slots + num_runs // RUNS_PER_ROW
    if has_large_pages:
        slots = aligned_zeros(num_rows, SLOT_BYTES, np.uint8)
    else:
        slots = small_page_zeros(num_rows * SLOT_BYTES).reshape(num_rows, SLOT_BYTES)
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
    """Number of the table's rows that are slots; runs come after them."""
    return len(state.slots) - len(state.runs) // RUNS_PER_ROW


def new_context_state() -> ContextState:
    """Zeroed look-up results for one text state."""
    contexts, hashes = np.zeros((2, NUM_CONTEXTS), np.uint64)
    return ContextState(contexts, hashes, *np.zeros((4, NUM_CONTEXTS), np.int64))


def new_prediction_trace(num_bytes: int) -> PredictionTrace:
    """A zeroed trace for the decisions of `num_bytes` bytes."""
    num_decisions = NUM_DECISIONS * num_bytes
    return PredictionTrace(
        decisions=np.zeros((num_decisions, 3), np.int64),
        slots=np.zeros((num_decisions, NUM_CONTEXTS), np.int64),
        histories=np.zeros((num_decisions, NUM_CONTEXTS), np.int64),
        inputs=aligned_zeros(num_decisions, NUM_INPUTS, np.float32),
        rows=np.zeros((num_decisions, NUM_SELECTORS), np.int64),
        outputs=aligned_zeros(num_decisions, NUM_OUTPUTS, np.float32),
        probabilities=np.zeros((num_decisions, NUM_MIXERS), np.float32),
        apm_bins=np.zeros((num_decisions, NUM_APMS), np.int64),
        matches=np.zeros((num_decisions, NUM_MATCHES), np.int64),
        final=np.zeros((num_decisions, 2), np.float32),
        indirect_updates=np.zeros((INDIRECT_UPDATES_PER_BYTE * num_bytes, 3), np.int64),
        contexts=np.zeros((num_bytes, NUM_CONTEXTS), np.uint64),
        runs=np.zeros((num_bytes, NUM_CONTEXTS), np.int64),
        symbols=np.zeros(num_bytes, np.int64),
        counts=np.zeros(3, np.int64),
    )
