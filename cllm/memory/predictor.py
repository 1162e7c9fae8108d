"""The predictor: each token of a text as a series of yes-or-no decisions, each predicted, then learned from.

    before a byte   does a token begin here?           decision 0, asked inside of a token that could end here
                    if so: does the text end here?
    the byte        its high bit, then bits 6 to 0     decisions 1 to 8

Only what the vocabulary leaves open is asked: bits that all tokens of the trie agree on are known. So the decisions'
probabilities multiply to those of tokens, which sum to one, and nothing of what is predicted is used before.

For a decision, every context brings the bit history it has of it, the histories' chances are stretched and mixed by
ten mixers whose weights are selected by small contexts, those by one more, and the result is refined by three adaptive
maps (the architecture of the PAQ series; Mahoney 2005). A context's histories lie in lines of 16 bytes, one for
"token begins" with the first half of the byte and one for the second half, so a byte touches two lines of each.
"""

import math

import numpy as np

from cllm.memory.compiled import Array, Number, compiled, inlined
from cllm.memory.contexts import FIRST_OF_TOKENS, NUM_CONTEXTS, byte_at, set_contexts, set_token_contexts
from cllm.memory.hashing import combine
from cllm.memory.histories import tables
from cllm.memory.journal import Journal, keep
from cllm.memory.mixing import clipped, correct, squash, stretch, weighed
from cllm.memory.state import LINE_BYTES, MATCH_SLOTS, NUM_MATCHES, NUM_SETS, SET_STARTS, Learned, Work
from cllm.memory.text import (
    COMMAS,
    DEPTH,
    INDENT,
    KIND,
    MAX_DEPTH,
    NODE,
    TEXT_START,
    TOKEN_1,
    TOKEN_2,
    TOKEN_3,
    WORD_1,
    WORD_START,
    Cursor,
    advance,
    copy_cursor,
)
from cllm.memory.trie import Trie

INSIDE, BEGINS, ENDS = 0, 1, 2  # `marks` of a byte: inside a token, a token begins, the text has ended before it
TOKEN_BEGINS, HIGH_BIT = 0, 1  # decisions
SECOND_HALF = 5  # decisions from here on lie in a byte's second line
MIN_MATCH = (6, 14)
LONGEST_MATCH = 400
NEXT, SEEN, _GUESS = tables()

MIXER_STEP = np.float32(0.005)
FINAL_STEP = np.float32(0.002)
MAP_STEP = np.float32(0.02)
MATCH_STEP = np.float32(0.015)
HIGH_STEP = np.float32(0.02)
END_STEP = np.float32(0.002)
CHANCE_LIMIT = np.float32(100)  # corrections that a chance remembers
CONFIDENCE = np.float32(4)  # weight of p - 1/2 beside the stretched p
MIXED_SHARE = np.float32(0.2)  # of the final mixer in the result; the maps share the rest
LEAST = np.float32(1 / 16384)
LEAST_NETWORK = np.float32(1e-7)
NO_NETWORK = np.float32(-1)

# Places in `Work.numbers`.
FINAL, PLACE_SHARE, MATCH_SAYS = 0, 1, 2


@compiled
def code(
    learned: Learned,
    journal: Journal,
    work: Work,
    cursor: Cursor,
    trie: Trie,
    text: Array,
    marks: Array,
    begin: Number,
    end: Number,
    network: Array,
    certainty: Array,
    learning: bool,
) -> float:
    """Bits that the text at `begin` to `end` takes at the cursor, which stands where a token begins and moves along.

    `marks` tells where its tokens begin; it ends where the last one ends, or with a byte that is none and has the mark
    ENDS. `network` (tokens, V + 1) holds for each token, ENDS included, the cumulative sum of the network's
    distribution over the sorted vocabulary, `certainty` (tokens,) its largest probability in eighths; both are empty
    where there is no network. With `learning`, each decision is learned after it was predicted, and `journal` keeps
    what lines were before; without, nothing of `learned` changes.
    """
    bits = 0.0
    token = -1
    nothing = np.zeros(0, np.float32)
    cumulative = nothing
    sure = 0
    for position in range(begin, end + 1):
        closing = position == end
        if closing and marks[position - 1] == ENDS:
            break
        node = cursor.numbers[NODE]
        starts = 1 if closing or marks[position] != INSIDE else 0
        set_contexts(work.contexts, text, position, cursor)
        find_matches(learned, cursor, text, position, learning and not closing)
        line = -1
        if position > begin and trie.ends[node] and trie.first[node, 256] > trie.first[node, 0]:
            share = NO_NETWORK
            if len(cumulative):
                lowest = trie.first[node, 0] - 1
                here = cumulative[lowest + 1] - cumulative[lowest]
                share = _share(here, cumulative[trie.first[node, 256]] - cumulative[lowest + 1])
            line = _lines(learned, journal, work, 0, line, learning)
            chance = predict(learned, work, cursor, text, marks, position, TOKEN_BEGINS, 1, 0, share, sure)
            bits -= math.log2(chance if starts else 1 - chance)
            if learning:
                learn(learned, work, TOKEN_BEGINS, 1, starts)
        if closing:
            _next_token(cursor, node)
            break
        if starts:
            token += 1
            if position > begin:
                _next_token(cursor, node)
                set_token_contexts(work.contexts, cursor)
                if line == 0:
                    _find_token_lines(learned, journal, work, learning)
            node = 0
            ends = 1 if marks[position] == ENDS else 0
            place = _end_place(cursor, text, position)
            chance = _bounded(learned.end_chance[place])
            bits -= math.log2(chance if ends else 1 - chance)
            if learning:
                learned.end_chance[place] += END_STEP * (np.float32(ends) - chance)
            if ends:
                break
            if len(network):
                cumulative = network[token]
                sure = 1 + certainty[token]
        byte: Number = np.int64(text[position])
        path = 2 | starts
        low, high = 0, 256
        for decision in range(HIGH_BIT, 9):
            bit = (byte >> (8 - decision)) & 1
            middle = (low + high) >> 1
            zeros = trie.first[node, middle] - trie.first[node, low]
            ones = trie.first[node, high] - trie.first[node, middle]
            if zeros and ones:
                if decision == HIGH_BIT:
                    before = np.int64(byte_at(text, position - 1, cursor.numbers[TEXT_START]))
                    chance = _bounded(learned.high_chance[before, starts])
                    bits -= math.log2(chance if bit else 1 - chance)
                    if learning:
                        learned.high_chance[before, starts] += HIGH_STEP * (np.float32(bit) - chance)
                else:
                    share = NO_NETWORK
                    if len(cumulative):
                        middle_sum = cumulative[trie.first[node, middle]]
                        share = _share(
                            cumulative[trie.first[node, high]] - middle_sum,
                            middle_sum - cumulative[trie.first[node, low]],
                        )
                    line = _lines(learned, journal, work, _line_key(decision, path), line, learning)
                    chance = predict(learned, work, cursor, text, marks, position, decision, path, starts, share, sure)
                    bits -= math.log2(chance if bit else 1 - chance)
                    if learning:
                        learn(learned, work, decision, path, bit)
            if bit:
                low = middle
            else:
                high = middle
            path = path * 2 + bit
        cursor.numbers[NODE] = trie.children[node, byte]
        _follow_matches(cursor, text, position)
        advance(cursor, byte, position)
    return bits


@compiled
def code_tokens(
    learned: Learned,
    journal: Journal,
    work: Work,
    cursor: Cursor,
    ahead: Cursor,
    trie: Trie,
    text: Array,
    marks: Array,
    begin: Number,
    end: Number,
    network: Array,
    certainty: Array,
) -> float:
    """As `code` with learning, but each token is predicted whole before any of it is learned, as when one is chosen.

    `ahead` is room for a second cursor.
    """
    bits = 0.0
    token = 0
    position = begin
    while position < end:
        after = position + 1
        while after < end and marks[after] == INSIDE:
            after += 1
        says = network[token : token + 1]
        sure = certainty[token : token + 1]
        copy_cursor(cursor, ahead)
        bits += code(learned, journal, work, ahead, trie, text, marks, position, after, says, sure, False)
        code(learned, journal, work, cursor, trie, text, marks, position, after, says, sure, True)
        position = after
        token += 1
    return bits


@inlined
def _end_place(cursor: Cursor, text: Array, position: Number) -> Number:
    """What the end of a text depends on: whether a line has just ended, and whether a bracket is open."""
    after_line = byte_at(text, position - 1, cursor.numbers[TEXT_START]) == 10
    return (1 if after_line else 0) + (2 if cursor.numbers[DEPTH] > 0 else 0)


@inlined
def _bounded(chance: Number) -> Number:
    return min(max(chance, LEAST), np.float32(1) - LEAST)


@inlined
def _share(ones: Number, zeros: Number) -> Number:
    """The network's chance of a one, from the probabilities of both sides (differences of sums: a hair below 0)."""
    ones = max(ones, np.float32(0)) + LEAST_NETWORK
    return ones / (ones + max(zeros, np.float32(0)) + LEAST_NETWORK)


@inlined
def _next_token(cursor: Cursor, node: Number) -> None:
    hashes = cursor.hashes
    hashes[TOKEN_3], hashes[TOKEN_2], hashes[TOKEN_1] = hashes[TOKEN_2], hashes[TOKEN_1], np.uint64(node)
    cursor.numbers[NODE] = 0


@inlined
def _line_key(decision: Number, path: Number) -> Number:
    """Which of a context's lines holds a decision: 0 for the first half of ASCII bytes, the path for others."""
    if decision >= SECOND_HALF:
        return path if decision == SECOND_HALF else path >> (decision - SECOND_HALF)
    return 0 if (path >> (decision - 2)) & 1 == 0 else 1


@inlined
def _lines(learned: Learned, journal: Journal, work: Work, key: Number, current: Number, learning: bool) -> Number:
    """Find the lines of all contexts for a key, unless they are the current ones; the key."""
    if key != current:
        for number in range(NUM_CONTEXTS):
            hash_ = work.contexts[number] if key == 0 else combine(work.contexts[number], key)
            work.lines[number] = find_line(learned.lines, journal, hash_, learning)
    return key


@inlined
def _find_token_lines(learned: Learned, journal: Journal, work: Work, learning: bool) -> None:
    """The contexts of tokens have changed, the others' lines are still right."""
    for number in range(FIRST_OF_TOKENS, NUM_CONTEXTS):
        work.lines[number] = find_line(learned.lines, journal, work.contexts[number], learning)


@compiled
def find_line(lines: Array, journal: Journal, hash_: Number, learning: bool) -> Number:
    """Number of the line of a hash, among four neighbours (64 bytes, what the processor fetches at once).

    Where there is none: a free one or the least used, cleared; without `learning`, -1.
    """
    first: Number = np.int64(hash_ & np.uint64(len(lines) - 1)) & ~3
    check = np.uint8(hash_ >> np.uint64(56)) | np.uint8(1)
    least: Number = first
    least_seen: Number = 256
    for line in range(first, first + 4):
        if lines[line, 0] == check:
            if learning:
                keep(journal, lines, line)
            return line
        if lines[line, 0] == 0:
            if not learning:
                return -1
            keep(journal, lines, line)
            lines[line, 0] = check
            return line
        seen = np.int64(SEEN[lines[line, 1]]) + np.int64(SEEN[lines[line, 2]]) + np.int64(SEEN[lines[line, 3]])
        if seen < least_seen:
            least, least_seen = line, seen
    if not learning:
        return -1
    keep(journal, lines, least)
    lines[least, :] = 0
    lines[least, 0] = check
    return least


@inlined
def _node(decision: Number, path: Number) -> Number:
    """The place of a decision's history in its line, 1 to 15."""
    if decision == TOKEN_BEGINS:
        return 1
    if decision >= SECOND_HALF:
        depth = decision - SECOND_HALF
        return (1 << depth) | (path & ((1 << depth) - 1))
    depth = decision - 2  # bits of the byte before this one, the high bit left out
    starts = (path >> (decision - 1)) & 1
    return (2 << depth) | (starts << depth) | (path & ((1 << depth) - 1))


@inlined
def predict(
    learned: Learned,
    work: Work,
    cursor: Cursor,
    text: Array,
    marks: Array,
    position: Number,
    decision: Number,
    path: Number,
    starts: Number,
    share: Number,
    sure: Number,
) -> Number:
    """The chance that a decision is a one. `path` is a 1 and then the byte's decisions so far."""
    kind = 0 if decision == TOKEN_BEGINS else 1
    node = _node(decision, path)
    known = 0
    inputs = work.inputs
    for number in range(NUM_CONTEXTS):
        line = work.lines[number]
        history = learned.lines[line, node] if line >= 0 else np.uint8(0)
        work.places[number] = history
        if history:
            chance = learned.chance[kind, number, history]
            inputs[number] = stretch(chance)
            inputs[NUM_CONTEXTS + number] = (chance - np.float32(0.5)) * CONFIDENCE
            if 2 < number < 12:
                known += 1
        else:
            inputs[number] = np.float32(0)
            inputs[NUM_CONTEXTS + number] = np.float32(0)
    says = _match_inputs(learned, work, cursor, text, marks, decision, path, starts)
    at = 2 * NUM_CONTEXTS + 2 * NUM_MATCHES
    inputs[at] = np.float32(0)
    inputs[at + 1] = np.float32(0)
    network = 0
    if share >= 0:
        inputs[at] = stretch(share)
        inputs[at + 1] = (share - np.float32(0.5)) * CONFIDENCE
        network = 1 + int(share * np.float32(10.99))
    _select(work, cursor, text, position, decision, path, known, says, network, sure)
    return _mixed(learned, work, path, text, position, cursor, decision, says)


@inlined
def _match_inputs(
    learned: Learned,
    work: Work,
    cursor: Cursor,
    text: Array,
    marks: Array,
    decision: Number,
    path: Number,
    starts: Number,
) -> Number:
    """Set what the matches say; 0 where the longer of them says nothing, 1 for a zero, 2 for a one."""
    kind = 0 if decision == TOKEN_BEGINS else 1
    longer = 0 if cursor.match_length[0] >= cursor.match_length[1] else 1
    says = 0
    for number in range(NUM_MATCHES):
        at = 2 * NUM_CONTEXTS + 2 * number
        work.inputs[at] = np.float32(0)
        work.inputs[at + 1] = np.float32(0)
        work.match_places[number] = -1
        length = cursor.match_length[number]
        if length == 0:
            continue
        found = cursor.match_at[number]
        mark = 0 if marks[found] == INSIDE else 1
        bit = mark
        if decision != TOKEN_BEGINS:
            expected = np.int64(text[found]) | 256
            # The path is a 1, the mark and the bits so far; the byte's bits so far must agree, and the mark.
            if (2 | mark) << (decision - 1) | ((expected >> (9 - decision)) & ((1 << (decision - 1)) - 1)) != path:
                continue
            bit = (expected >> (8 - decision)) & 1
        place = 2 * _length_class(length) + bit
        work.match_places[number] = place
        chance = learned.match_chance[number, kind, place >> 1, bit]
        work.inputs[at] = stretch(chance)
        work.inputs[at + 1] = (chance - np.float32(0.5)) * CONFIDENCE
        if number == longer:
            says = 1 + bit
    return says


@inlined
def _length_class(length: Number) -> Number:
    """0 to 60: single lengths up to 15, then eights up to 143, then steps of 32."""
    if length < 16:
        return length
    if length < 144:
        return 16 + ((length - 16) >> 3)
    return min(32 + ((length - 144) >> 5), 60)


@inlined
def _select(
    work: Work,
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
    rows = work.rows
    rows[0] = ((length * 3 + says) * 2 + at_start) * 2 + kind
    rows[1] = path
    rows[2] = one * 9 + decision
    rows[3] = (known * 9 + decision) * 2 + at_start
    rows[4] = min(numbers[INDENT], 31) * 9 + decision
    rows[5] = two * 2 + kind
    rows[6] = (min(position - numbers[WORD_START], 15) * 9 + decision) * 3 + says
    rows[7] = (bracket * 9 + decision) * 16 + commas * 4 + min(numbers[INDENT] >> 2, 3)
    rows[8] = (np.int64(cursor.hashes[WORD_1] >> np.uint64(57))) * 9 + decision
    rows[9] = ((network * 9 + sure) * 3 + says) * 2 + kind
    for number in range(NUM_SETS):
        rows[number] += SET_STARTS[number]


@inlined
def _mixed(
    learned: Learned,
    work: Work,
    path: Number,
    text: Array,
    position: Number,
    cursor: Cursor,
    decision: Number,
    says: Number,
) -> Number:
    """The mixers' result, refined by the maps."""
    for number in range(NUM_SETS):
        output = clipped(weighed(learned.weights[work.rows[number]], work.inputs), np.float32(11))
        work.outputs[number] = output
        work.errors[number] = squash(output)
    final = weighed(learned.final_weights[path], work.outputs)
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
    work.map_places[0] = (np.int64(combine(one, path)) & 0xFFFF) * 33 + low
    work.map_places[1] = (np.int64(combine(work.contexts[3], path)) & 0xFFFF) * 33 + low
    work.map_places[2] = expected * 33 + low
    refined = np.float32(0)
    for number in range(len(work.map_places)):
        values = learned.maps[number].reshape(-1)
        at = work.map_places[number]
        refined += values[at] * (np.float32(1) - part) + values[at + 1] * part
    work.numbers[FINAL] = mixed
    work.numbers[PLACE_SHARE] = part
    share = (np.float32(1) - MIXED_SHARE) / np.float32(len(work.map_places))
    return _bounded(MIXED_SHARE * mixed + share * refined)


@inlined
def learn(learned: Learned, work: Work, decision: Number, path: Number, bit: Number) -> None:
    """Correct everything that had a part in the last prediction."""
    kind = 0 if decision == TOKEN_BEGINS else 1
    node = _node(decision, path)
    truth = np.float32(bit)
    for number in range(NUM_SETS):
        error = (truth - work.errors[number]) * MIXER_STEP
        correct(learned.weights[work.rows[number]], work.inputs, error)
    correct(learned.final_weights[path], work.outputs, (truth - work.numbers[FINAL]) * FINAL_STEP)
    for number in range(NUM_CONTEXTS):
        history = work.places[number]
        seen = learned.chance_seen[kind, number, history]
        if seen < CHANCE_LIMIT:
            seen += np.float32(1)
            learned.chance_seen[kind, number, history] = seen
        learned.chance[kind, number, history] += (truth - learned.chance[kind, number, history]) / seen
        learned.lines[work.lines[number], node] = NEXT[history, bit]
    for number in range(NUM_MATCHES):
        place = work.match_places[number]
        if place >= 0:
            chance = learned.match_chance[number, kind, place >> 1, place & 1]
            learned.match_chance[number, kind, place >> 1, place & 1] += (truth - chance) * MATCH_STEP
    part = work.numbers[PLACE_SHARE]
    for number in range(len(work.map_places)):
        values = learned.maps[number].reshape(-1)
        at = work.map_places[number]
        values[at] += (truth - values[at]) * MAP_STEP * (np.float32(1) - part)
        values[at + 1] += (truth - values[at + 1]) * MAP_STEP * part


@inlined
def find_matches(learned: Learned, cursor: Cursor, text: Array, position: Number, learning: bool) -> None:
    """Where nothing is being matched, look up where the last bytes were seen; if learning, note that they are here."""
    for number in range(NUM_MATCHES):
        least = MIN_MATCH[number]
        if position - cursor.numbers[TEXT_START] < least:
            continue
        hash_ = np.uint64(0)
        for back in range(1, least + 1):
            hash_ = hash_ * np.uint64(0x2F0B4C47) + np.uint64(text[position - back]) + np.uint64(1)
        slot = np.int64(combine(hash_, number) & np.uint64(MATCH_SLOTS - 1))
        candidate = learned.match_slots[number, slot]
        if learning:
            learned.match_slots[number, slot] = position
        if cursor.match_length[number] == 0 and candidate > 0:
            length = 0
            while (
                length < min(candidate, LONGEST_MATCH) and text[candidate - 1 - length] == text[position - 1 - length]
            ):
                length += 1
            if length >= least:
                cursor.match_at[number] = candidate
                cursor.match_length[number] = length


@inlined
def _follow_matches(cursor: Cursor, text: Array, position: Number) -> None:
    """Go on with the matches that were right, end the others."""
    for number in range(NUM_MATCHES):
        if cursor.match_length[number]:
            if text[cursor.match_at[number]] == text[position]:
                cursor.match_at[number] += 1
                cursor.match_length[number] += 1
            else:
                cursor.match_length[number] = 0


assert LINE_BYTES == 16
