"""Next-token search: a branch-and-bound walk of the trie, likelier decisions first, without training.

A token's probability is the product of its decisions', so the probability of reaching a branch bounds those of its
tokens: branches below a bound are pruned. With a bound of 0 the search gives the whole distribution; for the best token
alone the bound is the best so far, and few branches are visited.
"""

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.coder import (
    ALL_BYTES,
    NO_SLOT_KEY,
    ONE,
    ZERO,
    end_context,
    end_token,
    implied_bit,
    is_open,
    narrow_range,
    network_p_one,
    predict_p_one,
)
from cllm.memory.mixer.decisions import HIGH_BIT, MARK_BEGIN, MARK_INSIDE, NUM_DECISIONS, TOKEN_BEGINS
from cllm.memory.mixer.journal import Journal
from cllm.memory.mixer.matches import find_matches, follow_matches
from cllm.memory.mixer.predictor import clamp_probability
from cllm.memory.mixer.runs import look_up_contexts
from cllm.memory.mixer.slots import find_slots, slot_key_of
from cllm.memory.mixer.state import ContextState, MixerState, PredictionTrace
from cllm.memory.mixer.text_state import NODE, TextState, advance, copy_text_state
from cllm.memory.mixer.trie import Trie

# Columns of `branches`: index of the byte in the token, next decision, partial byte, range of the byte.
LEVEL, DECISION, PARTIAL, LOW, HIGH = range(5)
BRANCHES_PER_BYTE = 8
NEAR_BEST_MARGIN = 1e-3  # `only_best` also finds tokens whose probability is this fraction below the best
NEAR_BEST_FACTOR = 1 - NEAR_BEST_MARGIN


@compiled
def next_token_probabilities(
    state: MixerState,
    journal: Journal,
    context_state: ContextState,
    trace: PredictionTrace,
    text_states: TextState,
    trie: Trie,
    text: Array,
    token_marks: Array,
    begin: Number,
    network_cumulative: Array,
    confidence: Number,
    forced: Array,
    end_probability: Number,
    min_probability: Number,
    only_best: bool,
    branches: Array,
    branch_probabilities: Array,
    probabilities: Array,
) -> None:
    """Fill `probabilities` (V + 1,) with those of the tokens, and last of the text's end, if >= `min_probability`.

    Others are 0. `text_states` are stacked, one for each byte of a token and one more; the first is at `begin`, where
    the token begins, and `text` and `token_marks` are overwritten from there. `network_cumulative` (1, V + 1): the
    cumulative sums of the network's distribution, or empty; `confidence` as in `code_span`. `end_probability` is that
    of the text's end; if negative, the memory's own is used. Only tokens that begin with the bytes `forced` are found,
    and probabilities are conditional on them; if there are any, the text cannot end. With `only_best`, only the best
    tokens are sure to be found: the largest and those within NEAR_BEST_MARGIN.
    """
    probabilities[:] = 0.0
    probability = 1.0
    if len(forced) == 0:
        end = np.float64(end_probability)
        if end < 0:
            end = np.float64(
                clamp_probability(state.end_probability[end_context(_state_at(text_states, 0), text, begin)])
            )
        if end >= min_probability:
            probabilities[-1] = end
            if only_best:
                min_probability = end * NEAR_BEST_FACTOR
        probability -= end
    level, decision, partial, low, high = ZERO, ZERO, ONE, ZERO, ALL_BYTES
    num_branches = 0
    while True:
        # The begin of a token's byte, or a branch inside one.
        position = begin + level
        text_state = _state_at(text_states, level)
        node = text_state.numbers[NODE]
        if decision == TOKEN_BEGINS:
            token_marks[position] = MARK_BEGIN if level == 0 else MARK_INSIDE
            find_matches(state, text_state, text, position, False)
        look_up_contexts(state, context_state, text, position, text_state)
        slot_key = NO_SLOT_KEY
        while decision < NUM_DECISIONS and probability >= min_probability and probability > 0:
            bit: Number = ZERO  # the likelier one
            p_one = 0.0
            if level < len(forced):
                bit = 1 if level == 0 else 0
                if decision > TOKEN_BEGINS:
                    bit = (np.int64(forced[level]) >> (8 - decision)) & 1
                p_one = np.float64(bit)
            elif not is_open(trie, node, decision, low, high):
                bit = 1 if level == 0 and decision == TOKEN_BEGINS else implied_bit(trie, node, decision, low, high)
                p_one = np.float64(bit)
            else:
                if decision != HIGH_BIT:
                    slot_key = find_slots(
                        state, journal, context_state, slot_key_of(decision, partial), slot_key, False
                    )
                network_p = network_p_one(network_cumulative, ZERO, trie, node, decision, low, high)
                p_one = np.float64(
                    predict_p_one(
                        state,
                        context_state,
                        trace,
                        ZERO,
                        text_state,
                        text,
                        token_marks,
                        position,
                        decision,
                        partial,
                        network_p,
                        confidence,
                    )
                )
            if decision == TOKEN_BEGINS and level > 0:
                token_probability = probability * p_one
                if p_one > 0 and token_probability >= min_probability:
                    probabilities[trie.range_starts[node, 0] - 1] = token_probability
                    if only_best:
                        min_probability = max(min_probability, token_probability * NEAR_BEST_FACTOR)
                probability -= token_probability
                bit = 0
            elif decision > TOKEN_BEGINS:
                bit = 1 if p_one >= 0.5 else 0
                other = probability * (1 - p_one if bit else p_one)
                probability -= other
                if other >= min_probability and other > 0:
                    branch = branches[num_branches]
                    branch[LEVEL], branch[DECISION], branch[PARTIAL] = level, decision + 1, partial * 2 + 1 - bit
                    branch[LOW], branch[HIGH] = narrow_range(low, high, 1 - bit)
                    branch_probabilities[num_branches] = other
                    num_branches += 1
                low, high = narrow_range(low, high, bit)
            partial = partial * 2 + bit
            decision += 1
        if probability >= min_probability and probability > 0:
            byte: Number = np.int64(low)
            text[position] = byte
            child = _state_at(text_states, level + 1)
            copy_text_state(text_state, child)
            child.numbers[NODE] = trie.children[node, byte]
            follow_matches(child, text, position)
            advance(child, byte, position)
            level += 1
            decision, partial, low, high = ZERO, ONE, ZERO, ALL_BYTES
            continue
        # The likeliest branches were pushed last and are popped first.
        probability = -1.0
        while num_branches and probability < min_probability:
            num_branches -= 1
            probability = branch_probabilities[num_branches]
        if probability < min_probability:
            return
        branch = branches[num_branches]
        level, decision, partial = branch[LEVEL], branch[DECISION], branch[PARTIAL]
        low, high = branch[LOW], branch[HIGH]


@compiled
def prefix_probability(
    state: MixerState,
    journal: Journal,
    context_state: ContextState,
    trace: PredictionTrace,
    text_states: TextState,
    trie: Trie,
    text: Array,
    token_marks: Array,
    begin: Number,
    network_cumulative: Array,
    confidence: Number,
    token_prefix: Array,
    exact_probabilities: Array,
) -> float:
    """Probability that the next token begins with the bytes `token_prefix` (N,).

    Fills `exact_probabilities` (N,): element n is the probability that the token is exactly the first n bytes. Other
    arguments are those of `next_token_probabilities`; the probability of the text's end is ignored.
    """
    exact_probabilities[:] = 0.0
    probability = 1.0
    for level in range(len(token_prefix)):
        position = begin + level
        text_state = _state_at(text_states, level)
        node = text_state.numbers[NODE]
        token_marks[position] = MARK_BEGIN if level == 0 else MARK_INSIDE
        find_matches(state, text_state, text, position, False)
        look_up_contexts(state, context_state, text, position, text_state)
        byte: Number = np.int64(token_prefix[level])
        slot_key, partial, low, high = NO_SLOT_KEY, ONE, ZERO, ALL_BYTES
        for decision in range(NUM_DECISIONS):
            bit = (byte >> (8 - decision)) & 1
            if decision == TOKEN_BEGINS:
                bit = 1 if level == 0 else 0
            p_one = 1.0
            if level > 0 or decision > TOKEN_BEGINS:
                p_one = np.float64(implied_bit(trie, node, decision, low, high))
            if is_open(trie, node, decision, low, high):
                if decision != HIGH_BIT:
                    slot_key = find_slots(
                        state, journal, context_state, slot_key_of(decision, partial), slot_key, False
                    )
                network_p = network_p_one(network_cumulative, ZERO, trie, node, decision, low, high)
                p_one = np.float64(
                    predict_p_one(
                        state,
                        context_state,
                        trace,
                        ZERO,
                        text_state,
                        text,
                        token_marks,
                        position,
                        decision,
                        partial,
                        network_p,
                        confidence,
                    )
                )
            if decision == TOKEN_BEGINS and level > 0:
                exact_probabilities[level] = probability * p_one
            probability *= p_one if bit else 1 - p_one
            partial = partial * 2 + bit
            if decision > TOKEN_BEGINS:
                low, high = narrow_range(low, high, bit)
        if probability <= 0:
            return 0.0
        text[position] = byte
        child = _state_at(text_states, level + 1)
        copy_text_state(text_state, child)
        child.numbers[NODE] = trie.children[node, byte]
        follow_matches(child, text, position)
        advance(child, byte, position)
    return probability


@compiled
def advance_token(
    state: MixerState, text_state: TextState, trie: Trie, text: Array, token_marks: Array, begin: Number, token: Array
) -> None:
    """Write a token's bytes (n,) to `text` (N,) at `begin`, and advance `text_state` past them, without training."""
    for number in range(len(token)):
        position = begin + number
        text[position] = token[number]
        token_marks[position] = MARK_BEGIN if number == 0 else MARK_INSIDE
        find_matches(state, text_state, text, position, False)
        text_state.numbers[NODE] = trie.children[text_state.numbers[NODE], token[number]]
        follow_matches(text_state, text, position)
        advance(text_state, np.int64(token[number]), position)
    find_matches(state, text_state, text, begin + len(token), False)
    end_token(text_state, text_state.numbers[NODE])


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
