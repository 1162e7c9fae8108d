"""Next-token search: a branch-and-bound walk of the trie, likelier decisions first, without training.

A token's probability is the product of its decisions', so the probability of reaching a branch bounds those of its
tokens: branches below a bound are pruned. With a bound of 0 the search gives the whole distribution; for the best token
alone the bound is the best so far, and few branches are visited.
"""

from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.arrays import MemoryArrays
from cllm.memory.mixer.coder import NO_SLOT_KEY, end_context, end_token, predict_p_one
from cllm.memory.mixer.decisions import (
    HIGH_BIT,
    MARK_BEGIN,
    MARK_INSIDE,
    NUM_DECISIONS,
    TOKEN_BEGINS,
    ZERO,
    Decision,
    first_decision,
    next_decision,
)
from cllm.memory.mixer.journal import Journal
from cllm.memory.mixer.matches import find_matches, follow_matches
from cllm.memory.mixer.prediction import clamp_probability
from cllm.memory.mixer.runs import look_up_contexts
from cllm.memory.mixer.slots import find_slots, slot_key_of
from cllm.memory.mixer.text_state import NODE, TextState, advance, copy_text_state
from cllm.memory.mixer.trie import TokenDistributions, Trie, implied_bit, is_open, network_p_one

# Columns of `SearchBuffers.branches`: index of the byte in the token, and the decision that comes next.
BRANCH_LEVEL, BRANCH_INDEX, BRANCH_PARTIAL, BRANCH_LOW, BRANCH_HIGH = range(5)
BRANCHES_PER_BYTE = 8
NEAR_BEST_MARGIN = 1e-3  # `only_best` also finds tokens whose probability is this fraction below the best
NEAR_BEST_FACTOR = 1 - NEAR_BEST_MARGIN


class SearchBuffers(NamedTuple):
    """The stack of branches that are still to be visited, and the result, for tokens of at most N bytes.

    `text_states`: stacked, one for each byte of a token and one more. `branches` (8 N, 5) int64, and
    `branch_probabilities` (8 N,) float64. `probabilities` (V + 1,) float64: of the tokens, and last of the text's end.
    """

    text_states: TextState
    branches: Array
    branch_probabilities: Array
    probabilities: Array


@compiled
def next_token_probabilities(
    memory: MemoryArrays,
    journal: Journal,
    trie: Trie,
    begin: Number,
    network_probs: TokenDistributions,
    forced: Array,
    end_probability: Number,
    min_probability: Number,
    only_best: bool,
    buffers: SearchBuffers,
) -> None:
    """Fill `buffers.probabilities` with those of all tokens and of the text's end that are >= `min_probability`.

    The first of `buffers.text_states` is at `begin`, where the token begins; text and marks are overwritten from there.
    `network_probs` has at most one row. `forced` (N,) uint8: the token begins with these bytes, and if there are any,
    the text cannot end; else it ends with `end_probability`, or if that is negative with the memory's own. `only_best`:
    only the largest probability and those within NEAR_BEST_MARGIN are sure to be found.
    """
    text_states, probabilities = buffers.text_states, buffers.probabilities
    probabilities[:] = 0.0
    probability = 1.0
    if len(forced) == 0:
        end = _end_probability(memory, _state_at(text_states, 0), begin, end_probability)
        min_probability = _write_probability(probabilities, -1, end, only_best, min_probability)
        probability -= end
    level, decision, num_branches = ZERO, first_decision(), ZERO
    while True:
        # The begin of a token's byte, or a branch inside one.
        state, position = _state_at(text_states, level), begin + level
        _look_up(memory, state, position, decision)
        slot_key = NO_SLOT_KEY
        while decision.index < NUM_DECISIONS and probability >= min_probability and probability > 0:
            if level < len(forced):
                bit: Number = _bit_of(np.int64(forced[level]), level, decision.index)
                p_one = np.float64(bit)
            else:
                p_one, slot_key = _p_one(memory, journal, trie, state, position, decision, network_probs, slot_key)
                bit = 1 if p_one >= 0.5 else 0  # the likelier one
            if decision.index == TOKEN_BEGINS and level > 0:
                found, token = probability * p_one, trie.range_starts[state.numbers[NODE], 0] - 1
                min_probability = _write_probability(probabilities, token, found, only_best, min_probability)
                probability -= found
                bit = 0
            elif decision.index > TOKEN_BEGINS:
                other = probability * (1 - p_one if bit else p_one)
                probability -= other
                if other >= min_probability and other > 0:
                    num_branches = _push_branch(buffers, num_branches, level, next_decision(decision, 1 - bit), other)
            decision = next_decision(decision, bit)
        if probability >= min_probability and probability > 0:
            _enter_byte(memory, trie, text_states, level, position, decision.low)
            level, decision = level + 1, first_decision()
            continue
        num_branches = _pop_branch(buffers, num_branches, min_probability)
        if num_branches < 0:
            return
        branch, probability = buffers.branches[num_branches], np.float64(buffers.branch_probabilities[num_branches])
        level = branch[BRANCH_LEVEL]
        decision = Decision(branch[BRANCH_INDEX], branch[BRANCH_PARTIAL], branch[BRANCH_LOW], branch[BRANCH_HIGH])


@compiled
def prefix_probability(
    memory: MemoryArrays,
    journal: Journal,
    trie: Trie,
    begin: Number,
    network_probs: TokenDistributions,
    token_prefix: Array,
    text_states: TextState,
    exact_probabilities: Array,
) -> float:
    """Probability that the next token begins with the bytes `token_prefix` (N,) uint8.

    Fills `exact_probabilities` (N,): element n is the probability that the token is exactly the first n bytes. The
    probability of the text's end is ignored. Other arguments as in `next_token_probabilities`.
    """
    exact_probabilities[:] = 0.0
    probability = 1.0
    for level in range(len(token_prefix)):
        state, position, byte = _state_at(text_states, level), begin + level, np.int64(token_prefix[level])
        decision, slot_key = first_decision(), NO_SLOT_KEY
        _look_up(memory, state, position, decision)
        while decision.index < NUM_DECISIONS:
            bit = _bit_of(byte, level, decision.index)
            p_one, slot_key = _p_one(memory, journal, trie, state, position, decision, network_probs, slot_key)
            if decision.index == TOKEN_BEGINS and level > 0:
                exact_probabilities[level] = probability * p_one
            probability *= p_one if bit else 1 - p_one
            decision = next_decision(decision, bit)
        if probability <= 0:
            return 0.0
        _enter_byte(memory, trie, text_states, level, position, byte)
    return probability


@compiled
def advance_token(
    match_slots: Array, trie: Trie, text_state: TextState, text: Array, token_marks: Array, begin: Number, token: Array
) -> None:
    """Write a token's bytes (n,) to `text` (N,) at `begin`, and advance `text_state` past them, without training.

    `match_slots` as in `MixerState`, `token_marks` (N,).
    """
    for number in range(len(token)):
        position = begin + number
        text[position] = token[number]
        token_marks[position] = MARK_BEGIN if number == 0 else MARK_INSIDE
        find_matches(match_slots, text_state, text, position, False)
        text_state.numbers[NODE] = trie.children[text_state.numbers[NODE], token[number]]
        follow_matches(text_state, text, position)
        advance(text_state, np.int64(token[number]), position)
    find_matches(match_slots, text_state, text, begin + len(token), False)
    end_token(text_state, text_state.numbers[NODE])


@inlined
def _end_probability(memory: MemoryArrays, text_state: TextState, position: Number, given: Number) -> Number:
    """The probability that the text ends here: `given`, or the memory's own if that is negative."""
    if given >= 0:
        return np.float64(given)
    context = end_context(text_state, memory.text, position)
    return np.float64(clamp_probability(memory.state.end_probability[context]))


@inlined
def _write_probability(
    probabilities: Array, place: Number, found: Number, only_best: bool, min_probability: Number
) -> Number:
    """Write a probability to its place of (V + 1,) if it reaches the bound; returns the bound from then on."""
    if found > 0 and found >= min_probability:
        probabilities[place] = found
        if only_best:
            min_probability = max(min_probability, found * NEAR_BEST_FACTOR)
    return min_probability


@inlined
def _bit_of(byte: Number, level: Number, index: Number) -> Number:
    """Bit of the decision `index` for a byte of a token; a token begins at level 0."""
    if index == TOKEN_BEGINS:
        return np.int64(1 if level == 0 else 0)
    return (byte >> (8 - index)) & 1


@inlined
def _look_up(memory: MemoryArrays, text_state: TextState, position: Number, decision: Decision) -> None:
    """Look up the contexts of a byte, and before its first decision its matches too."""
    if decision.index == TOKEN_BEGINS:
        memory.token_marks[position] = MARK_BEGIN if text_state.numbers[NODE] == 0 else MARK_INSIDE
        find_matches(memory.state.match_slots, text_state, memory.text, position, False)
    look_up_contexts(memory.state, memory.context_state, memory.text, position, text_state)


@inlined
def _p_one(
    memory: MemoryArrays,
    journal: Journal,
    trie: Trie,
    text_state: TextState,
    position: Number,
    decision: Decision,
    network_probs: TokenDistributions,
    slot_key: Number,
) -> tuple[Number, Number]:
    """Probability of a one, and the key of the slots that were found (`find_slots`), which were those of `slot_key`."""
    node = text_state.numbers[NODE]
    if not is_open(trie, node, decision):
        return np.float64(implied_bit(trie, node, decision)), slot_key
    if decision.index != HIGH_BIT:
        key = slot_key_of(decision.index, decision.partial)
        slot_key = find_slots(memory.state, journal, memory.context_state, key, slot_key, False)
    network_p = network_p_one(network_probs, ZERO, trie, node, decision)
    confidence_bin = 1 + np.int64(network_probs.confidence[0]) if len(network_probs.confidence) else ZERO
    p_one = predict_p_one(memory, text_state, position, decision, network_p, confidence_bin)
    return np.float64(p_one), slot_key


@inlined
def _push_branch(
    buffers: SearchBuffers, place: Number, level: Number, decision: Decision, probability: Number
) -> Number:
    """Push a branch onto the stack at `place`; returns the place after it."""
    branch = buffers.branches[place]
    branch[BRANCH_LEVEL], branch[BRANCH_INDEX], branch[BRANCH_PARTIAL] = level, decision.index, decision.partial
    branch[BRANCH_LOW], branch[BRANCH_HIGH] = decision.low, decision.high
    buffers.branch_probabilities[place] = probability
    return place + 1


@inlined
def _pop_branch(buffers: SearchBuffers, num_branches: Number, min_probability: Number) -> Number:
    """Drop branches below the bound from the top of the stack; returns the place of the next one, or -1.

    The likeliest branches were pushed last.
    """
    place = num_branches - 1
    while place >= 0 and buffers.branch_probabilities[place] < min_probability:
        place -= 1
    return place


@inlined
def _enter_byte(
    memory: MemoryArrays, trie: Trie, text_states: TextState, level: Number, position: Number, byte: Number
) -> None:
    """Write a token's byte to the text at `position`, and set the text state after it."""
    text_state, child = _state_at(text_states, level), _state_at(text_states, level + 1)
    memory.text[position] = byte
    copy_text_state(text_state, child)
    child.numbers[NODE] = trie.children[text_state.numbers[NODE], byte]
    follow_matches(child, memory.text, position)
    advance(child, byte, position)


@inlined
def _state_at(text_states: TextState, level: Number) -> TextState:
    """One of the stacked text states."""
    return TextState(
        text_states.hashes[level],
        text_states.numbers[level],
        text_states.brackets[level],
        text_states.match_at[level],
        text_states.match_length[level],
    )
