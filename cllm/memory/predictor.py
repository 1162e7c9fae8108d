"""A decision's chance, and learning from it: the architecture of the PAQ series (Mahoney 2005).

Every context brings the bit history it has of the decision; the histories' chances are stretched and mixed by mixers
whose weights are selected by small contexts, those are mixed once more, and the result is refined by adaptive maps.
"""

import numpy as np

from cllm.compiled import Array, Number, inlined
from cllm.memory.contexts import FIRST_LONG, LAST_LONG, NUM_CONTEXTS, byte_at
from cllm.memory.decisions import TOKEN_BEGINS
from cllm.memory.hashing import combine
from cllm.memory.lines import node_in_line
from cllm.memory.matches import match_inputs
from cllm.memory.mixing import CONFIDENCE, MAP_PLACES, clipped, squash, stretch, weighed
from cllm.memory.runs import NEXT, RUN
from cllm.memory.selection import EXPECTED, NUM_MIXERS, NUM_SELECTED, STARTS, VOTES, select, select_seen
from cllm.memory.state import (
    HASHED_ROWS,
    MAP_STARTS,
    NUM_INPUTS,
    NUM_MAPS,
    NUM_MATCHES,
    NUM_OUTPUTS,
    Decided,
    Learned,
    Work,
)
from cllm.memory.text import NODE, TEXT_START, Cursor
from cllm.memory.vectors import correct

MIXER_STEP = np.float32(0.005)
FINAL_STEP = np.float32(0.001)
LEAST_ERROR = np.float32(1 / 64)  # that a mixer learns from: 0.1% fewer bits than with all, in less time
MAP_STEP = np.float32(0.02)
MATCH_STEP = np.float32(0.015)
LEAST_RATE = np.float32(1 / 100)  # at which a chance is corrected; it begins higher, as the mean of what was seen
MIXED_SHARE = np.float32(0.2)  # of the final mixer in the result; the maps share the rest
LEAST = np.float32(1 / 16384)

# Columns of `Decided.final`, and of `Decided.how`.
CHANCE, PART = 0, 1
DECISION, PATH, BIT = 0, 1, 2


@inlined
def predict(
    learned: Learned,
    work: Work,
    decided: Decided,
    number: Number,
    cursor: Cursor,
    text: Array,
    marks: Array,
    position: Number,
    decision: Number,
    path: Number,
    share: Number,
    sure: Number,
) -> Number:
    """The chance that a decision is a one; all that has a part in it goes into row `number` of `decided`.

    `path` is a 1 and then the byte's decisions so far.
    """
    kind = 0 if decision == TOKEN_BEGINS else 1
    node = node_in_line(decision, path)
    inputs, lines, histories = decided.inputs[number], decided.lines[number], decided.histories[number]
    rows = decided.rows[number]
    says = match_inputs(learned, inputs, decided.matches[number], cursor, text, marks, decision, path)
    inputs[NUM_INPUTS - 2] = np.float32(0)
    inputs[NUM_INPUTS - 1] = np.float32(0)
    network = 0
    if share >= 0:
        inputs[NUM_INPUTS - 2] = stretch(share)
        inputs[NUM_INPUTS - 1] = (share - np.float32(0.5)) * CONFIDENCE
        network = 1 + int(share * np.float32(10.99))
    select(rows, cursor, work.expected, text, position, decision, path, says, network, sure)
    known, ones, zeros = 0, 0, 0
    for context in range(NUM_CONTEXTS):
        line = work.lines[context]
        history = np.uint8(0)
        expected = work.expected[context]
        if line >= 0:
            history = learned.lines[line, node]
        elif expected >> (9 - decision) == path:
            bit = (expected >> (8 - decision)) & 1
            history = RUN[work.counts[context], bit]
            ones += bit
            zeros += 1 - bit
        lines[context] = line
        histories[context] = history
        if history:
            chance = learned.chance[kind, context, history]
            inputs[context] = stretch(chance)
            inputs[NUM_CONTEXTS + context] = (chance - np.float32(0.5)) * CONFIDENCE
            if FIRST_LONG <= context <= LAST_LONG:
                known += 1
        else:
            inputs[context] = np.float32(0)
            inputs[NUM_CONTEXTS + context] = np.float32(0)
    select_seen(rows, decision, 1 if cursor.numbers[NODE] == 0 else 0, known, ones, zeros)
    decided.how[number, DECISION], decided.how[number, PATH] = decision, path
    return _mixed(learned, work, decided, number, path, text, position, cursor)


@inlined
def _mixed(
    learned: Learned,
    work: Work,
    decided: Decided,
    number: Number,
    path: Number,
    text: Array,
    position: Number,
    cursor: Cursor,
) -> Number:
    """The mixers' result, refined by the maps."""
    rows = decided.rows[number]
    for mixer in range(NUM_MIXERS):
        output = clipped(weighed(learned.weights, rows[mixer], 0, decided.inputs, number, NUM_INPUTS), np.float32(11))
        decided.outputs[number, mixer] = output
        decided.chances[number, mixer] = squash(output)
    decided.outputs[number, NUM_MIXERS] = decided.inputs[number, NUM_INPUTS - 2]  # the network's chance
    final = np.float32(0)
    for mixer in range(NUM_MIXERS):
        final += weighed(learned.weights, rows[mixer], NUM_INPUTS, decided.outputs, number, NUM_OUTPUTS)
    for selected in range(NUM_MIXERS, NUM_SELECTED):
        final += weighed(learned.final_weights, rows[selected], 0, decided.outputs, number, NUM_OUTPUTS)
    final /= np.float32(NUM_SELECTED)
    mixed = squash(final)
    place = (clipped(final, np.float32(7.99)) + np.float32(8)) * np.float32(2)
    low = int(place)
    part = place - np.float32(low)
    one = np.int64(byte_at(text, position - 1, cursor.numbers[TEXT_START]))
    places = decided.map_places[number]
    places[0] = np.int64(combine(one, path)) & (HASHED_ROWS - 1)
    places[1] = np.int64(combine(work.contexts[3], path)) & (HASHED_ROWS - 1)
    places[2] = rows[EXPECTED] - STARTS[EXPECTED]
    places[3] = rows[VOTES] - STARTS[VOTES]
    refined = np.float32(0)
    for map_ in range(NUM_MAPS):
        at = MAP_STARTS[map_] + places[map_] * MAP_PLACES + low
        places[map_] = at
        refined += learned.maps[at] * (np.float32(1) - part) + learned.maps[at + 1] * part
    decided.final[number, CHANCE] = mixed
    decided.final[number, PART] = part
    share = (np.float32(1) - MIXED_SHARE) / np.float32(NUM_MAPS)
    return bounded(MIXED_SHARE * mixed + share * refined)


@inlined
def learn(learned: Learned, decided: Decided, number: Number) -> None:
    """Correct everything that had a part in a prediction, now that its bit is known."""
    how = decided.how[number]
    decision, path, bit = how[DECISION], how[PATH], how[BIT]
    kind = 0 if decision == TOKEN_BEGINS else 1
    node = node_in_line(decision, path)
    truth = np.float32(bit)
    final_step = (truth - decided.final[number, CHANCE]) * FINAL_STEP
    for mixer in range(NUM_MIXERS):
        row, error = decided.rows[number, mixer], truth - decided.chances[number, mixer]
        if abs(error) > LEAST_ERROR:
            correct(learned.weights, row, 0, decided.inputs, number, NUM_INPUTS, error * MIXER_STEP)
        correct(learned.weights, row, NUM_INPUTS, decided.outputs, number, NUM_OUTPUTS, final_step)
    for selected in range(NUM_MIXERS, NUM_SELECTED):
        row = decided.rows[number, selected]
        correct(learned.final_weights, row, 0, decided.outputs, number, NUM_OUTPUTS, final_step)
    lines, histories = decided.lines[number], decided.histories[number]
    for context in range(NUM_CONTEXTS):
        history = histories[context]
        rate = learned.rate[kind, context, history]
        if rate > LEAST_RATE:
            rate /= np.float32(1) + rate
            learned.rate[kind, context, history] = rate
        learned.chance[kind, context, history] += (truth - learned.chance[kind, context, history]) * rate
        line = lines[context]
        if line >= 0:
            # It may have changed since, by an earlier decision of the same token.
            learned.lines[line, node] = NEXT[learned.lines[line, node], bit]
    for match in range(NUM_MATCHES):
        place = decided.matches[number, match]
        if place >= 0:
            chance = learned.match_chance[match, kind, place >> 1, place & 1]
            learned.match_chance[match, kind, place >> 1, place & 1] += (truth - chance) * MATCH_STEP
    part = decided.final[number, PART]
    for map_ in range(NUM_MAPS):
        at = decided.map_places[number, map_]
        for place, near in ((at, np.float32(1) - part), (at + 1, part)):
            learned.maps[place] += (truth - learned.maps[place]) * MAP_STEP * near


@inlined
def bounded(chance: Number) -> Number:
    return min(max(chance, LEAST), np.float32(1) - LEAST)
