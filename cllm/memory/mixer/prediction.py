"""Prediction of a decision, and training on it: the architecture of the PAQ series (Mahoney 2005).

Each context has a bit history of the decision; the histories' probabilities are stretched and mixed by mixers whose
weights are selected by the selectors (`selection`), the outputs are mixed once more, and the result is refined by
adaptive probability maps (APMs).
"""

import numpy as np

from cllm.jit.compiled import Array, Number, inlined
from cllm.memory.mixer.arrays import MemoryArrays
from cllm.memory.mixer.contexts import FIRST_HIGH_ORDER, LAST_HIGH_ORDER, NUM_CONTEXTS, byte_at
from cllm.memory.mixer.decisions import TOKEN_BEGINS, Decision
from cllm.memory.mixer.matches import match_inputs
from cllm.memory.mixer.mixing import APM_BINS, LINEAR_INPUT_SCALE, clamp, dot_product, squash, stretch
from cllm.memory.mixer.runs import NEXT_HISTORY, RUN_HISTORY
from cllm.memory.mixer.selection import (
    APM_OFFSETS,
    NUM_APMS,
    NUM_MIXERS,
    NUM_SELECTORS,
    select_apm_rows,
    select_late_rows,
    select_rows,
)
from cllm.memory.mixer.simd import train_weights
from cllm.memory.mixer.slots import history_in_slot
from cllm.memory.mixer.state import (
    NUM_INPUTS,
    NUM_MATCHES,
    NUM_OUTPUTS,
    TRACE_BIT,
    TRACE_DECISION,
    TRACE_FRACTION,
    TRACE_PARTIAL,
    TRACE_PROBABILITY,
    MixerState,
    PredictionTrace,
)
from cllm.memory.mixer.text_state import NODE, TEXT_START, TextState

MIXER_LEARNING_RATE = np.float32(0.005)
FINAL_LEARNING_RATE = np.float32(0.001)
MIN_ERROR = np.float32(1 / 64)  # smaller errors do not update a mixer: 0.1% fewer bits, in less time
APM_RATE = np.float32(0.02)
MATCH_RATE = np.float32(0.015)
MIN_RATE = np.float32(1 / 100)  # of `p_one`; the rate starts higher, so that `p_one` is first the mean of the bits seen
MIXER_SHARE = np.float32(0.2)  # weight of the final mixer in the result; the APMs share the rest
MIN_PROBABILITY = np.float32(1 / 16384)


@inlined
def predict(
    memory: MemoryArrays,
    text_state: TextState,
    position: Number,
    traced: Number,
    decision: Decision,
    network_p: Number,
    confidence_bin: Number,
) -> Number:
    """Probability that a decision is a one; all that training needs is written to row `traced` of the trace.

    `network_p`: the network's probability, or NO_NETWORK_P; `confidence_bin` as in `select_rows`.
    """
    trace, expected = memory.trace, memory.context_state.expected
    inputs, rows = trace.inputs[traced], trace.rows[traced]
    match_bit = match_inputs(memory, text_state, traced, decision)
    network_bin = _network_inputs(inputs, network_p)
    select_rows(rows, text_state, expected, memory.text, position, decision, match_bit, network_bin, confidence_bin)
    num_known, num_ones, num_zeros = _context_inputs(memory, traced, decision)
    is_token_start = 1 if text_state.numbers[NODE] == 0 else 0
    select_late_rows(rows, decision.index, is_token_start, num_known, num_ones, num_zeros)
    trace.decisions[traced, TRACE_DECISION], trace.decisions[traced, TRACE_PARTIAL] = decision.index, decision.partial
    last_byte = np.int64(byte_at(memory.text, position - 1, text_state.numbers[TEXT_START]))
    return _mix(memory, traced, decision.partial, last_byte)


@inlined
def _network_inputs(inputs: Array, network_p: Number) -> Number:
    """Set the network's two of the inputs (I,); returns the bin of its probability, as in `select_rows`."""
    inputs[NUM_INPUTS - 2] = np.float32(0)
    inputs[NUM_INPUTS - 1] = np.float32(0)
    network_bin = 0
    if network_p >= 0:
        inputs[NUM_INPUTS - 2] = stretch(network_p)
        inputs[NUM_INPUTS - 1] = (network_p - np.float32(0.5)) * LINEAR_INPUT_SCALE
        network_bin = 1 + int(network_p * np.float32(10.99))
    return network_bin


@inlined
def _context_inputs(memory: MemoryArrays, traced: Number, decision: Decision) -> tuple[Number, Number, Number]:
    """Set the contexts' inputs; returns the numbers of contexts that `select_late_rows` takes."""
    state, context_state, trace = memory.state, memory.context_state, memory.trace
    inputs, slots, histories = trace.inputs[traced], trace.slots[traced], trace.histories[traced]
    kind = 0 if decision.index == TOKEN_BEGINS else 1
    history_index = history_in_slot(decision.index, decision.partial)
    num_known, num_ones, num_zeros = 0, 0, 0
    for context in range(NUM_CONTEXTS):
        slot = context_state.slots[context]
        history = np.uint8(0)
        expected = context_state.expected[context]
        if slot >= 0:
            history = state.slots[slot, history_index]
        elif expected >> (9 - decision.index) == decision.partial:
            bit = (expected >> (8 - decision.index)) & 1
            history = RUN_HISTORY[context_state.counts[context], bit]
            num_ones += bit
            num_zeros += 1 - bit
        slots[context] = slot
        histories[context] = history
        if history:
            p_one = state.p_one[kind, context, history]
            inputs[context] = stretch(p_one)
            inputs[NUM_CONTEXTS + context] = (p_one - np.float32(0.5)) * LINEAR_INPUT_SCALE
            if FIRST_HIGH_ORDER <= context <= LAST_HIGH_ORDER:
                num_known += 1
        else:
            inputs[context] = np.float32(0)
            inputs[NUM_CONTEXTS + context] = np.float32(0)
    return num_known, num_ones, num_zeros


@inlined
def _mix(memory: MemoryArrays, traced: Number, partial: Number, last_byte: Number) -> Number:
    """The final probability of a one: the mixers' result, refined by the APMs."""
    state, trace = memory.state, memory.trace
    rows = trace.rows[traced]
    for mixer in range(NUM_MIXERS):
        output = clamp(dot_product(state.weights, rows[mixer], 0, trace.inputs, traced, NUM_INPUTS), np.float32(11))
        trace.outputs[traced, mixer] = output
        trace.probabilities[traced, mixer] = squash(output)
    trace.outputs[traced, NUM_MIXERS] = trace.inputs[traced, NUM_INPUTS - 2]  # the network's probability, stretched
    final = np.float32(0)
    for mixer in range(NUM_MIXERS):
        final += dot_product(state.weights, rows[mixer], NUM_INPUTS, trace.outputs, traced, NUM_OUTPUTS)
    for selector in range(NUM_MIXERS, NUM_SELECTORS):
        final += dot_product(state.final_weights, rows[selector], 0, trace.outputs, traced, NUM_OUTPUTS)
    final /= np.float32(NUM_SELECTORS)
    mixed = squash(final)
    place = (clamp(final, np.float32(7.99)) + np.float32(8)) * np.float32(2)
    low = int(place)
    fraction = place - np.float32(low)
    apm_bins = trace.apm_bins[traced]
    apm_rows = select_apm_rows(rows, memory.context_state.contexts, partial, last_byte)
    refined = np.float32(0)
    for apm in range(NUM_APMS):
        at = APM_OFFSETS[apm] + apm_rows[apm] * APM_BINS + low
        apm_bins[apm] = at
        refined += state.apms[at] * (np.float32(1) - fraction) + state.apms[at + 1] * fraction
    trace.final[traced, TRACE_PROBABILITY] = mixed
    trace.final[traced, TRACE_FRACTION] = fraction
    apm_weight = (np.float32(1) - MIXER_SHARE) / np.float32(NUM_APMS)
    return clamp_probability(MIXER_SHARE * mixed + apm_weight * refined)


@inlined
def learn(state: MixerState, trace: PredictionTrace, traced: Number) -> None:
    """Update the state by the known bit of the prediction in row `traced` of `trace`."""
    decisions = trace.decisions[traced]
    decision, partial, bit = decisions[TRACE_DECISION], decisions[TRACE_PARTIAL], decisions[TRACE_BIT]
    kind = 0 if decision == TOKEN_BEGINS else 1
    history_index = history_in_slot(decision, partial)
    truth = np.float32(bit)
    final_step = (truth - trace.final[traced, TRACE_PROBABILITY]) * FINAL_LEARNING_RATE
    for mixer in range(NUM_MIXERS):
        row, error = trace.rows[traced, mixer], truth - trace.probabilities[traced, mixer]
        if abs(error) > MIN_ERROR:
            train_weights(state.weights, row, 0, trace.inputs, traced, NUM_INPUTS, error * MIXER_LEARNING_RATE)
        train_weights(state.weights, row, NUM_INPUTS, trace.outputs, traced, NUM_OUTPUTS, final_step)
    for selector in range(NUM_MIXERS, NUM_SELECTORS):
        row = trace.rows[traced, selector]
        train_weights(state.final_weights, row, 0, trace.outputs, traced, NUM_OUTPUTS, final_step)
    slots, histories = trace.slots[traced], trace.histories[traced]
    for context in range(NUM_CONTEXTS):
        history = histories[context]
        rate = state.rate[kind, context, history]
        if rate > MIN_RATE:
            rate /= np.float32(1) + rate
            state.rate[kind, context, history] = rate
        state.p_one[kind, context, history] += (truth - state.p_one[kind, context, history]) * rate
        slot = slots[context]
        if slot >= 0:
            # The history may have changed since the prediction, by an earlier decision of the same token.
            state.slots[slot, history_index] = NEXT_HISTORY[state.slots[slot, history_index], bit]
    for match in range(NUM_MATCHES):
        place = trace.matches[traced, match]
        if place >= 0:
            p_one = state.match_p_one[match, kind, place >> 1, place & 1]
            state.match_p_one[match, kind, place >> 1, place & 1] += (truth - p_one) * MATCH_RATE
    fraction = trace.final[traced, TRACE_FRACTION]
    for apm in range(NUM_APMS):
        at = trace.apm_bins[traced, apm]
        for place, bin_weight in ((at, np.float32(1) - fraction), (at + 1, fraction)):
            state.apms[place] += (truth - state.apms[place]) * APM_RATE * bin_weight


@inlined
def clamp_probability(p_one: Number) -> Number:
    return min(max(p_one, MIN_PROBABILITY), np.float32(1) - MIN_PROBABILITY)
