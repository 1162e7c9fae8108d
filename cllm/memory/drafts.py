"""What probably comes next: the tokens that followed where the last bytes were seen before."""

from cllm.compiled import Array, Number, compiled
from cllm.memory.decisions import ENDS, INSIDE
from cllm.memory.text import Cursor
from cllm.memory.trie import Trie

LEAST_MATCH = 16  # bytes that must agree before a place for it to propose anything


@compiled
def draft(cursor: Cursor, trie: Trie, text: Array, marks: Array, size: Number, found: Array) -> Number:
    """Fill `found` with ids of tokens after the longer match, as they stand there; how many. None inside of a token."""
    longer = 0 if cursor.match_length[0] >= cursor.match_length[1] else 1
    at, count = cursor.match_at[longer], 0
    if cursor.match_length[longer] < LEAST_MATCH or at >= size or marks[at] == INSIDE:
        return 0
    while count < len(found) and at < size and marks[at] != ENDS:
        node = trie.children[0, text[at]]
        at += 1
        while at < size and marks[at] == INSIDE:
            node = trie.children[node, text[at]]
            at += 1
        found[count] = trie.ids[trie.first[node, 0] - 1]
        count += 1
    return count
