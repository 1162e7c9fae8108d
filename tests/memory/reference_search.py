"""Reference implementation of the next-token search: each token is coded separately."""

import numpy as np

from cllm.jit.compiled import Array
from cllm.memory.memory import Memory
from cllm.memory.mixer.decisions import MARK_BEGIN, MARK_END, MARK_INSIDE
from cllm.memory.mixer.state import NUM_MATCHES
from cllm.memory.mixer.text_state import copy_text_state, new_text_state
from cllm.memory.mixer.trie import NO_DISTRIBUTIONS, TokenDistributions


def reference_probabilities(
    memory: Memory, prefix: bytes, network_probs: TokenDistributions = NO_DISTRIBUTIONS
) -> Array:
    """Probability (V + 1,) of each token of the trie, and last of the text's end, after the tokens of a prefix.

    `network_probs` covers the prefix's tokens and the next one.
    """
    ids = memory.tokenizer.encode(prefix)
    cumulative, confidence = network_probs
    before = [TokenDistributions(cumulative[: len(ids)], confidence[: len(ids)])] if len(confidence) else []
    after = TokenDistributions(cumulative[len(ids) :], confidence[len(ids) :])
    bits, text_state = [], new_text_state(NUM_MATCHES)
    with memory.rollback_on_exit(len(prefix)):
        prompt_state = memory.prefill(ids, before)
        memory.reserve(memory.max_token_bytes)
        begin = memory.size
        for token in [*memory.trie.ids.tolist(), None]:
            write_token(memory, begin, token)
            copy_text_state(prompt_state, text_state)
            bits.append(memory.run_coder(text_state, begin, memory.size, after, False))
    return np.exp2(-np.array(bits))


def write_token(memory: Memory, position: int, token: int | None) -> None:
    """Write a token, or the end of the text if None, at a position, and end the text after it."""
    content = b"\0" if token is None else memory.tokenizer.token_bytes(token)
    memory.size = position + len(content)
    memory.text[position : memory.size] = np.frombuffer(content, np.uint8)
    memory.token_marks[position : memory.size] = MARK_INSIDE
    memory.token_marks[position] = MARK_END if token is None else MARK_BEGIN
