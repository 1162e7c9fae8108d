"""Which token comes next: a walk through the trie that follows the likelier decision first, and learns nothing.

A token's chance is the product of its decisions', so a branch is worth no more than the chance of reaching it: branches
below a bound are left out. With the bound at 0 the walk finds the whole distribution; where only the best token is
asked for, the bound is the best so far, and few branches are ever looked at.
"""

import numpy as np

from cllm.compiled import Array, Number, compiled, inlined
from cllm.memory.coder import (
    ALL_BYTES,
    NO_LINES,
    ONE,
    ZERO,
    chance_of_one,
    end_place,
    is_open,
    narrowed,
    next_token,
    settled,
    share_of_ones,
)
from cllm.memory.decisions import BEGINS, HIGH_BIT, INSIDE, NUM_DECISIONS, TOKEN_BEGINS
from cllm.memory.journal import Journal
from cllm.memory.lines import find_lines, line_key
from cllm.memory.matches import find_matches, follow_matches
from cllm.memory.predictor import bounded
from cllm.memory.runs import look_up
from cllm.memory.state import Decided, Learned, Work
from cllm.memory.text import NODE, Cursor, advance, copy_cursor
from cllm.memory.trie import Trie

# Columns of `branches`: the byte of the token it is in, the next decision, the byte's bits so far, their range.
LEVEL, DECISION, PATH, LOW, HIGH = range(5)
BRANCHES_PER_BYTE = 8
CLOSE = 1e-3  # a chance that is behind the best by this part of it is still found when only the best is asked for
NEARLY = 1 - CLOSE


@compiled
def next_tokens(
    learned: Learned,
    journal: Journal,
    work: Work,
    decided: Decided,
    cursors: Cursor,
    trie: Trie,
    text: Array,
    marks: Array,
    begin: Number,
    network: Array,
    certainty: Number,
    forced: Array,
    end_chance: Number,
    least: Number,
    only_best: bool,
    branches: Array,
    branch_chances: Array,
    chances: Array,
) -> None:
    """Fill `chances` (V + 1,) with those of the tokens, and last of the text's end, that are at least `least`.

    Others are 0. `cursors` are stacked, one for each byte of a token and one more; the first stands at `begin`, where
    the token begins, and `text` and `marks` are written on from there. `network` (1, V + 1): the cumulative sums of its
    distribution, or empty, `certainty` as in `code`. `end_chance` is that of the text's end, or negative, where the
    memory is asked. Tokens begin with the bytes `forced`, given which the chances are; where there are some, the text
    cannot end. With `only_best`, all that is sure is which are the largest: the best and those that are hardly less.
    """
    chances[:] = 0.0
    chance = 1.0
    if len(forced) == 0:
        end = np.float64(end_chance)
        if end < 0:
            end = np.float64(bounded(learned.end_chance[end_place(_at(cursors, 0), text, begin)]))
        if end >= least:
            chances[-1] = end
            if only_best:
                least = end * NEARLY
        chance -= end
    level, decision, path, low, high = ZERO, ZERO, ONE, ZERO, ALL_BYTES
    num_branches = 0
    while True:
        # Here begins a byte of a token, or a branch inside of one.
        position = begin + level
        cursor = _at(cursors, level)
        node = cursor.numbers[NODE]
        if decision == TOKEN_BEGINS:
            marks[position] = BEGINS if level == 0 else INSIDE
            find_matches(learned, cursor, text, position, False)
        look_up(learned, work, text, position, cursor)
        line = NO_LINES
        while decision < NUM_DECISIONS and chance >= least and chance > 0:
            bit: Number = ZERO  # the likelier one
            one = 0.0
            if level < len(forced):
                bit = 1 if level == 0 else 0
                if decision > TOKEN_BEGINS:
                    bit = (np.int64(forced[level]) >> (8 - decision)) & 1
                one = np.float64(bit)
            elif not is_open(trie, node, decision, low, high):
                bit = 1 if level == 0 and decision == TOKEN_BEGINS else settled(trie, node, decision, low, high)
                one = np.float64(bit)
            else:
                if decision != HIGH_BIT:
                    line = find_lines(learned, journal, work, line_key(decision, path), line, False)
                share = share_of_ones(network, ZERO, trie, node, decision, low, high)
                one = np.float64(
                    chance_of_one(
                        learned, work, decided, ZERO, cursor, text, marks, position, decision, path, share, certainty
                    )
                )
            if decision == TOKEN_BEGINS and level > 0:
                ending = chance * one
                if one > 0 and ending >= least:
                    chances[trie.first[node, 0] - 1] = ending
                    if only_best:
                        least = max(least, ending * NEARLY)
                chance -= ending
                bit = 0
            elif decision > TOKEN_BEGINS:
                bit = 1 if one >= 0.5 else 0
                other = chance * (1 - one if bit else one)
                chance -= other
                if other >= least and other > 0:
                    branch = branches[num_branches]
                    branch[LEVEL], branch[DECISION], branch[PATH] = level, decision + 1, path * 2 + 1 - bit
                    branch[LOW], branch[HIGH] = narrowed(low, high, 1 - bit)
                    branch_chances[num_branches] = other
                    num_branches += 1
                low, high = narrowed(low, high, bit)
            path = path * 2 + bit
            decision += 1
        if chance >= least and chance > 0:
            byte: Number = np.int64(low)
            text[position] = byte
            below = _at(cursors, level + 1)
            copy_cursor(cursor, below)
            below.numbers[NODE] = trie.children[node, byte]
            follow_matches(below, text, position)
            advance(below, byte, position)
            level += 1
            decision, path, low, high = ZERO, ONE, ZERO, ALL_BYTES
            continue
        # The likeliest branches come last, and are the next.
        chance = -1.0
        while num_branches and chance < least:
            num_branches -= 1
            chance = branch_chances[num_branches]
        if chance < least:
            return
        branch = branches[num_branches]
        level, decision, path = branch[LEVEL], branch[DECISION], branch[PATH]
        low, high = branch[LOW], branch[HIGH]


@compiled
def begins_with(
    learned: Learned,
    journal: Journal,
    work: Work,
    decided: Decided,
    cursors: Cursor,
    trie: Trie,
    text: Array,
    marks: Array,
    begin: Number,
    network: Array,
    certainty: Number,
    typed: Array,
    whole: Array,
) -> float:
    """The chance that the next token begins with the bytes `typed`; in `whole`, that it is only the first n of them.

    The other arguments are those of `next_tokens`; that the text ends is not reckoned with.
    """
    whole[:] = 0.0
    chance = 1.0
    for level in range(len(typed)):
        position = begin + level
        cursor = _at(cursors, level)
        node = cursor.numbers[NODE]
        marks[position] = BEGINS if level == 0 else INSIDE
        find_matches(learned, cursor, text, position, False)
        look_up(learned, work, text, position, cursor)
        byte: Number = np.int64(typed[level])
        line, path, low, high = NO_LINES, ONE, ZERO, ALL_BYTES
        for decision in range(NUM_DECISIONS):
            bit = (byte >> (8 - decision)) & 1
            if decision == TOKEN_BEGINS:
                bit = 1 if level == 0 else 0
            one = 1.0
            if level > 0 or decision > TOKEN_BEGINS:
                one = np.float64(settled(trie, node, decision, low, high))
            if is_open(trie, node, decision, low, high):
                if decision != HIGH_BIT:
                    line = find_lines(learned, journal, work, line_key(decision, path), line, False)
                share = share_of_ones(network, ZERO, trie, node, decision, low, high)
                one = np.float64(
                    chance_of_one(
                        learned, work, decided, ZERO, cursor, text, marks, position, decision, path, share, certainty
                    )
                )
            if decision == TOKEN_BEGINS and level > 0:
                whole[level] = chance * one
            chance *= one if bit else 1 - one
            path = path * 2 + bit
            if decision > TOKEN_BEGINS:
                low, high = narrowed(low, high, bit)
        if chance <= 0:
            return 0.0
        text[position] = byte
        below = _at(cursors, level + 1)
        copy_cursor(cursor, below)
        below.numbers[NODE] = trie.children[node, byte]
        follow_matches(below, text, position)
        advance(below, byte, position)
    return chance


@compiled
def pass_token(
    learned: Learned, cursor: Cursor, trie: Trie, text: Array, marks: Array, begin: Number, token: Array
) -> None:
    """Write a token's bytes at `begin`, and bring the cursor behind it; nothing is learned."""
    for number in range(len(token)):
        position = begin + number
        text[position] = token[number]
        marks[position] = BEGINS if number == 0 else INSIDE
        find_matches(learned, cursor, text, position, False)
        cursor.numbers[NODE] = trie.children[cursor.numbers[NODE], token[number]]
        follow_matches(cursor, text, position)
        advance(cursor, np.int64(token[number]), position)
    find_matches(learned, cursor, text, begin + len(token), False)
    next_token(cursor, cursor.numbers[NODE])


@inlined
def _at(cursors: Cursor, level: Number) -> Cursor:
    """One of stacked cursors."""
    return Cursor(
        cursors.hashes[level],
        cursors.numbers[level],
        cursors.brackets[level],
        cursors.match_at[level],
        cursors.match_length[level],
    )
