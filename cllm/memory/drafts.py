"""Draft tokens from a match: the tokens that followed an earlier occurrence of the last bytes."""

from cllm.jit.compiled import Array, Number, compiled
from cllm.memory.mixer.decisions import MARK_END, MARK_INSIDE
from cllm.memory.mixer.text_state import TextState
from cllm.memory.mixer.trie import Trie

MIN_DRAFT_MATCH_BYTES = 16  # bytes that a match must have for a draft


@compiled
def draft(text_state: TextState, trie: Trie, text: Array, token_marks: Array, size: Number, draft_ids: Array) -> Number:
    """Fill `draft_ids` (M,) int64 with the ids of the tokens after the longer match; returns their number.

    0 if the match is shorter than MIN_DRAFT_MATCH_BYTES or is inside a token. `text` and `token_marks` (N,) uint8.
    """
    longer = 0 if text_state.match_length[0] >= text_state.match_length[1] else 1
    at, count = text_state.match_at[longer], 0
    if text_state.match_length[longer] < MIN_DRAFT_MATCH_BYTES or at >= size or token_marks[at] == MARK_INSIDE:
        return 0
    while count < len(draft_ids) and at < size and token_marks[at] != MARK_END:
        node = trie.children[0, text[at]]
        at += 1
        while at < size and token_marks[at] == MARK_INSIDE:
            node = trie.children[node, text[at]]
            at += 1
        draft_ids[count] = trie.ids[trie.range_starts[node, 0] - 1]
        count += 1
    return count
