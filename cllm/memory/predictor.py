"""A decision's chance, and learning from it: the architecture of the PAQ series (Mahoney 2005).

Every context brings the bit history it has of the decision; the histories' chances are stretched and mixed by ten
mixers whose weights are selected by small contexts, those by two more, and the result is refined by adaptive maps.
"""

import numpy as np

from cllm.memory.compiled import Array, Number, inlined
from cllm.memory.contexts import FIRST_LONG, LAST_LONG, NUM_CONTEXTS, byte_at
from cllm.memory.decisions import TOKEN_BEGINS
from cllm.memory.hashing import combine
from cllm.memory.lines import node_in_line
from cllm.memory.matches import match_inputs
from cllm.memory.mixing import CONFIDENCE, clipped, correct, squash, stretch, weighed
from cllm.memory.runs import NEXT, RUN
from cllm.memory.state import (
    MAP_ROWS,
    NUM_INPUTS,
    NUM_MAPS,
    NUM_MATCHES,
    NUM_SETS,
    SET_STARTS,
    SETS,
    Decided,
    Learned,
    Work,
)
from cllm.memory.text import COMMAS, DEPTH, INDENT, KIND, MAX_DEPTH, NODE, SHAPE, TEXT_START, WORD_START, Cursor

MIXER_STEP = np.float32(0.005)
FINAL_STEP = np.float32(0.002)
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
    known = 0
    inputs, lines, histories = decided.inputs[number], decided.lines[number], decided.histories[number]
    for context in range(NUM_CONTEXTS):
        line = work.lines[context]
        history = np.uint8(0)
        expected = work.expected[context]
        if line >= 0:
            history = learned.lines[line, node]
        elif expected >> (9 - decision) == path:
            history = RUN[work.counts[context], (expected >> (8 - decision)) & 1]
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
    says = match_inputs(learned, inputs, decided.matches[number], cursor, text, marks, decision, path)
    at = 2 * NUM_CONTEXTS + 2 * NUM_MATCHES
    inputs[at] = np.float32(0)
    inputs[at + 1] = np.float32(0)
    network = 0
    if share >= 0:
        inputs[at] = stretch(share)
        inputs[at + 1] = (share - np.float32(0.5)) * CONFIDENCE
        network = 1 + int(share * np.float32(10.99))
    _select(decided.rows[number], cursor, text, position, decision, path, known, says, network, sure)
    decided.how[number, DECISION], decided.how[number, PATH] = decision, path
    return _mixed(learned, work, decided, number, path, text, position, cursor, decision, says)


@inlined
def _select(
    rows: Array,
    cursor: Cursor,
    text: Array,
    position: Number,
    decision: Number,
    path: Number,
    known: Number,
    says: Number,
    network: Number,
    sure: Number,
) -> None:
    """Choose a row of weights in each set."""
    numbers = cursor.numbers
    kind = 1 if decision == TOKEN_BEGINS else 0
    at_start = 1 if numbers[NODE] == 0 else 0
    longest = max(cursor.match_length[0], cursor.match_length[1])
    length = 0 if longest == 0 else (1 if longest < 12 else (2 if longest < 20 else (3 if longest < 32 else 4)))
    one = np.int64(byte_at(text, position - 1, numbers[TEXT_START]))
    two = np.int64(byte_at(text, position - 2, numbers[TEXT_START]))
    depth = numbers[DEPTH]
    bracket: Number = 0
    commas: Number = 0
    if 0 < depth <= MAX_DEPTH:
        bracket = 1 + (np.int64(cursor.brackets[depth - 1, KIND]) & 3)
        commas = min(np.int64(cursor.brackets[depth - 1, COMMAS]), 3)
    rows[0] = ((length * 3 + says) * 2 + at_start) * 2 + kind
    rows[1] = path
    rows[2] = one * 9 + decision
    rows[3] = (known * 9 + decision) * 2 + at_start
    rows[4] = min(numbers[INDENT], 31) * 9 + decision
    rows[5] = two * 2 + kind
    rows[6] = (min(position - numbers[WORD_START], 15) * 9 + decision) * 3 + says
    rows[7] = (bracket * 9 + decision) * 16 + commas * 4 + min(numbers[INDENT] >> 2, 3)
    rows[8] = (np.int64(cursor.hashes[SHAPE] >> np.uint64(57))) * 9 + decision
    rows[9] = ((network * 9 + sure) * 3 + says) * 2 + kind
    for set_ in range(NUM_SETS):
        rows[set_] += SET_STARTS[set_]


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
    decision: Number,
    says: Number,
) -> Number:
    """The mixers' result, refined by the maps."""
    for set_ in range(NUM_SETS):
        row = decided.rows[number, set_]
        output = clipped(weighed(learned.weights, row, decided.inputs, number, NUM_INPUTS), np.float32(11))
        decided.outputs[number, set_] = output
        decided.errors[number, set_] = squash(output)
    by_bits = weighed(learned.final_weights, path, decided.outputs, number, NUM_SETS)
    by_match = weighed(learned.final_weights, SETS[1] + decided.rows[number, 0], decided.outputs, number, NUM_SETS)
    final = (by_bits + by_match) * np.float32(0.5)
    mixed = squash(final)
    place = (clipped(final, np.float32(7.99)) + np.float32(8)) * np.float32(2)
    low = int(place)
    part = place - np.float32(low)
    longer = 0 if cursor.match_length[0] >= cursor.match_length[1] else 1
    expected = 0
    if says:
        long_ = 1 if cursor.match_length[longer] >= 20 else 0
        expected = 1 + (np.int64(text[cursor.match_at[longer]]) * 9 + decision) * 2 + long_
    one = np.int64(byte_at(text, position - 1, cursor.numbers[TEXT_START]))
    places = decided.map_places[number]
    places[0] = (np.int64(combine(one, path)) & (MAP_ROWS - 1)) * 33 + low
    places[1] = (np.int64(combine(work.contexts[3], path)) & (MAP_ROWS - 1)) * 33 + low
    places[2] = expected * 33 + low
    refined = np.float32(0)
    for map_ in range(NUM_MAPS):
        at = places[map_]
        refined += learned.maps[map_, at] * (np.float32(1) - part) + learned.maps[map_, at + 1] * part
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
    for set_ in range(NUM_SETS):
        error = truth - decided.errors[number, set_]
        if abs(error) > LEAST_ERROR:
            correct(learned.weights, decided.rows[number, set_], decided.inputs, number, NUM_INPUTS, error * MIXER_STEP)
    step = (truth - decided.final[number, CHANCE]) * FINAL_STEP
    correct(learned.final_weights, path, decided.outputs, number, NUM_SETS, step)
    correct(learned.final_weights, SETS[1] + decided.rows[number, 0], decided.outputs, number, NUM_SETS, step)
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
            learned.maps[map_, place] += (truth - learned.maps[map_, place]) * MAP_STEP * near


@inlined
def bounded(chance: Number) -> Number:
    return min(max(chance, LEAST), np.float32(1) - LEAST)
