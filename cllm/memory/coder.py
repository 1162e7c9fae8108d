"""A text as a series of decisions. Each token is predicted whole, as when one is chosen, and then learned from.

Nothing of what is predicted is used before.
"""

import math

import numpy as np

from cllm.compiled import Array, Number, compiled, inlined
from cllm.memory.contexts import byte_at, note_byte, note_word
from cllm.memory.decisions import ENDS, HIGH_BIT, INSIDE, NUM_DECISIONS, SECOND_HALF, TOKEN_BEGINS
from cllm.memory.followers import learn_followers
from cllm.memory.journal import Journal
from cllm.memory.lines import expect_lines, find_lines, line_key
from cllm.memory.matches import find_matches, follow_matches
from cllm.memory.predictor import BIT, DECISION, PATH, bounded, learn, predict
from cllm.memory.runs import learn_runs, learn_token_end, look_up, note_runs
from cllm.memory.state import Decided, Learned, Work
from cllm.memory.text import (
    DEPTH,
    NODE,
    TEXT_START,
    TOKEN_1,
    TOKEN_2,
    TOKEN_3,
    WORD,
    WORD_1,
    Cursor,
    advance,
)
from cllm.memory.trie import Trie

HIGH_STEP = np.float32(0.02)
END_STEP = np.float32(0.002)
LEAST_NETWORK = np.float32(1e-7)
NO_NETWORK = np.float32(-1)
# Numba compiles a kernel anew for a constant that it is called with before a variable: these are none to it.
ZERO, ONE, NO_LINES, NO_TOKEN, ALL_BYTES = np.int64(0), np.int64(1), np.int64(-1), np.int64(-1), np.int64(256)


@compiled
def code(
    learned: Learned,
    journal: Journal,
    work: Work,
    decided: Decided,
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
    where there is no network. With `learning`, each token is learned after the whole of it was predicted, and `journal`
    keeps what lines were before; without, nothing of `learned` changes.
    """
    bits = 0.0
    token = NO_TOKEN
    num_decided, num_notes, num_bytes = ZERO, ZERO, ZERO
    sure = ZERO
    for position in range(begin, end + 1):
        closing = position == end
        if closing and marks[position - 1] == ENDS:
            return bits
        starts = 1 if closing or marks[position] != INSIDE else 0
        byte: Number = 0 if closing else np.int64(text[position])
        look_up(learned, work, text, position, cursor)
        find_matches(learned, cursor, text, position, learning and not closing)
        line = NO_LINES
        path, low, high = ONE, ZERO, ALL_BYTES
        expect_lines(learned, work, line_key(SECOND_HALF, (2 | starts) << 4 | byte >> 4))
        for decision in range(NUM_DECISIONS):
            node = cursor.numbers[NODE]
            bit = starts if decision == TOKEN_BEGINS else (byte >> (8 - decision)) & 1
            if is_open(trie, node, decision, low, high):
                if decision != HIGH_BIT:
                    line = find_lines(learned, journal, work, line_key(decision, path), line, learning)
                share = share_of_ones(network, token, trie, node, decision, low, high)
                if decision == HIGH_BIT:
                    chance = high_chance(learned, decided, num_decided, cursor, text, position, path)
                else:
                    chance = predict(
                        learned, work, decided, num_decided, cursor, text, marks, position, decision, path, share, sure
                    )
                bits -= math.log2(chance if bit else 1 - chance)
                decided.how[num_decided, BIT] = bit
                num_decided += 1
            path = path * 2 + bit
            if decision > TOKEN_BEGINS:
                low, high = narrowed(low, high, bit)
            elif starts:
                if learning and node:  # at the beginning no token has ended
                    learn_token(learned, decided, num_decided)
                    learn_followers(learned.followers, decided.notes, num_notes)
                    learn_runs(learned, journal, decided, num_bytes)
                    learn_token_end(learned, journal, work)
                num_decided, num_notes, num_bytes = ZERO, ZERO, ZERO
                next_token(cursor, node)
                if closing:
                    return bits
                token += 1
                look_up(learned, work, text, position, cursor)  # what was learned just now may be of use
                line = NO_LINES
                ends = 1 if marks[position] == ENDS else 0
                place = end_place(cursor, text, position)
                chance = bounded(learned.end_chance[place])
                bits -= math.log2(chance if ends else 1 - chance)
                if learning:
                    learned.end_chance[place] += END_STEP * (np.float32(ends) - chance)
                if ends:
                    return bits
                if len(network):
                    sure = 1 + certainty[token]
        cursor.numbers[NODE] = trie.children[cursor.numbers[NODE], byte]
        follow_matches(cursor, text, position)
        word, before = cursor.hashes[WORD], cursor.hashes[WORD_1]
        advance(cursor, byte, position)
        if learning:
            num_bytes = note_runs(work, decided, num_bytes, np.int64(starts << 8) | byte)
            num_notes = note_byte(decided.notes, num_notes, text, position, cursor.numbers[TEXT_START])
            num_notes = note_word(decided.notes, num_notes, cursor, word, before)
    return bits


@inlined
def learn_token(learned: Learned, decided: Decided, num_decided: Number) -> None:
    """Learn the decisions of a token."""
    for number in range(num_decided):
        if decided.how[number, DECISION] == HIGH_BIT:
            place, bit = decided.how[number, PATH], decided.how[number, BIT]
            chance = learned.high_chance[place >> 1, place & 1]
            learned.high_chance[place >> 1, place & 1] += HIGH_STEP * (np.float32(bit) - chance)
        else:
            learn(learned, decided, number)


@compiled
def chance_of_one(
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
    """The chance of an open decision's one, whose lines were found; its account is row `number` of `decided`.

    Called, where `code` has it inlined: that is a tenth of its speed, and for each kernel 6 s of compiling.
    """
    if decision == HIGH_BIT:
        return high_chance(learned, decided, number, cursor, text, position, path)
    return predict(learned, work, decided, number, cursor, text, marks, position, decision, path, share, sure)


@inlined
def settled(trie: Trie, node: Number, decision: Number, low: Number, high: Number) -> Number:
    """What a decision is that the vocabulary does not leave open, inside of a token."""
    if decision == TOKEN_BEGINS:
        return 1 if trie.ends[node] else 0
    return 1 if trie.first[node, high] > trie.first[node, (low + high) >> 1] else 0


@inlined
def high_chance(
    learned: Learned, decided: Decided, number: Number, cursor: Cursor, text: Array, position: Number, path: Number
) -> Number:
    """The chance that a byte is not ASCII, by the byte before it and whether a token begins."""
    before = np.int64(byte_at(text, position - 1, cursor.numbers[TEXT_START]))
    decided.how[number, DECISION], decided.how[number, PATH] = HIGH_BIT, before << 1 | path & 1
    return bounded(learned.high_chance[before, path & 1])


@inlined
def end_place(cursor: Cursor, text: Array, position: Number) -> Number:
    """What the end of a text depends on: whether a line has just ended, and whether a bracket is open."""
    after_line = byte_at(text, position - 1, cursor.numbers[TEXT_START]) == 10
    return (1 if after_line else 0) + (2 if cursor.numbers[DEPTH] > 0 else 0)


@inlined
def is_open(trie: Trie, node: Number, decision: Number, low: Number, high: Number) -> bool:
    """Whether the vocabulary leaves a decision open: at the node, with the byte from `low` to below `high`."""
    first = trie.first[node]
    if decision == TOKEN_BEGINS:
        return bool(trie.ends[node] and first[256] > first[0])
    middle = first[(low + high) >> 1]
    return bool(first[low] < middle < first[high])


@inlined
def narrowed(low: Number, high: Number, bit: Number) -> tuple[Number, Number]:
    """The range of a byte after one more of its bits."""
    middle = (low + high) >> 1
    return (middle if bit else low), (high if bit else middle)


@inlined
def share_of_ones(
    network: Array, token: Number, trie: Trie, node: Number, decision: Number, low: Number, high: Number
) -> Number:
    """The network's chance of an open decision's one, in its row for a token; NO_NETWORK where it says nothing.

    The node's own token comes first of its stretch of the sorted vocabulary, before those that go on.
    """
    if len(network) == 0:
        return NO_NETWORK
    first = trie.first[node]
    if decision == TOKEN_BEGINS:
        after = network[token, first[0]]
        return _share(after - network[token, first[0] - 1], network[token, first[256]] - after)
    middle = network[token, first[(low + high) >> 1]]
    return _share(network[token, first[high]] - middle, middle - network[token, first[low]])


@inlined
def _share(ones: Number, zeros: Number) -> Number:
    """Of both sides' probabilities, which are differences of sums and may be a hair below 0."""
    ones = max(ones, np.float32(0)) + LEAST_NETWORK
    return ones / (ones + max(zeros, np.float32(0)) + LEAST_NETWORK)


@inlined
def next_token(cursor: Cursor, node: Number) -> None:
    """The token of a node has ended; at the beginning of a text, the node is the root and none has."""
    if node == 0:
        return
    hashes = cursor.hashes
    hashes[TOKEN_3], hashes[TOKEN_2], hashes[TOKEN_1] = hashes[TOKEN_2], hashes[TOKEN_1], np.uint64(node)
    cursor.numbers[NODE] = 0
