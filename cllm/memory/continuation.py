"""A text that goes on: from its beginning, which the memory reads, to the chances of what comes next, token by token.

What is proposed is not learned from: the memory learns what a person wrote.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from cllm.jit.compiled import Array
from cllm.memory.drafts import draft
from cllm.memory.index.index import MAX_CONTEXT_BYTES, Index, Source
from cllm.memory.index.two_sided import find_two_sided_match
from cllm.memory.memory import NO_DISTRIBUTIONS, Memory, TokenDistributions
from cllm.memory.mixer.search import BRANCHES_PER_BYTE, advance_token, next_token_probabilities, prefix_probability
from cllm.memory.mixer.state import NUM_MATCHES
from cllm.memory.mixer.text_state import TextState, copy_text_state, new_text_state

END_FROM_MEMORY = -1.0  # for the chance that a text ends


class Continuation:
    """Stands behind the text so far. `restart` goes back behind the beginning."""

    def __init__(
        self,
        memory: Memory,
        ids: Sequence[int],
        network_probs: Iterable[TokenDistributions] = (),
        num_without_network: int = 0,
        path: str = "",
    ) -> None:
        """Read the beginning (as `Memory.prefill`); use it inside of `memory.rollback_on_exit`."""
        self._memory, self._begin = memory, memory.size
        self._prompt_state = memory.prefill(ids, network_probs, num_without_network, path)
        self._start_state, self._index = self._prompt_state, Index(memory.index.segments, memory.index.sources)
        self._reserve_bytes = memory.max_token_bytes + 1
        self._text_states = new_text_state(NUM_MATCHES, self._reserve_bytes + 1)
        self._branches = np.zeros((BRANCHES_PER_BYTE * self._reserve_bytes, 5), np.int64)
        self._branch_probabilities = np.zeros(len(self._branches))
        self._probabilities = np.zeros(len(memory.trie.ids) + 1)
        self.restart()

    def restart(self) -> None:
        """Stand behind the beginning again."""
        self._position = self._memory.size
        self.text_state = new_text_state(NUM_MATCHES)
        copy_text_state(self._start_state, self.text_state)

    def extend(self, ids: Sequence[int], network_probs: Iterable[TokenDistributions] = ()) -> None:
        """Let the beginning go on; what was looked for around it is to be looked for again."""
        self._memory.index = Index(self._index.segments, self._index.sources)
        self._start_state = self._prompt_state = self._memory.extend_prefill(self._prompt_state, ids, network_probs)
        self.restart()

    def match_both_sides(self, after: bytes) -> None:
        """Begin with the place that agrees most with the text here and what comes after it, if any does: as a match.

        It is as sure as one that is longer by what comes after.
        """
        memory = self._memory
        memory.index.sources.append(Source(path="", sha256="", begin=self._begin, end=memory.size))
        # The last place is left out: it is the cursor itself, which agrees with all that is before it.
        memory.index.add_segment(memory.text, self._begin, max(self._begin, memory.size - 1))
        before = memory.text[self._begin : memory.size][-MAX_CONTEXT_BYTES:].tobytes()
        if (found := find_two_sided_match(memory.index, memory.text, before, after)) is not None:
            self._start_state = new_text_state(NUM_MATCHES)
            copy_text_state(self._prompt_state, self._start_state)
            self._start_state.match_at[:] = found.position
            self._start_state.match_length[:] = found.before + found.after
            self.restart()

    def probabilities(
        self,
        network_probs: TokenDistributions = NO_DISTRIBUTIONS,
        *,
        forced: bytes = b"",
        end_probability: float = END_FROM_MEMORY,
        min_probability: float = 0.0,
        only_best: bool = False,
    ) -> Array:
        """The chances of all tokens of the trie and of the text's end (V + 1,), see `search.next_token_probabilities`.

        `network_probs`: what a network says of the next token, or nothing.
        """
        memory = self._memory
        memory.reserve(self._position - memory.size + self._reserve_bytes)
        for array, first in zip(self._text_states, self.text_state, strict=True):
            array[0] = first
        next_token_probabilities(
            memory.state,
            memory.journal,
            memory.context_state,
            memory.trace,
            self._text_states,
            memory.trie,
            memory.text,
            memory.token_marks,
            self._position,
            network_probs.cumulative,
            1 + int(network_probs.confidence[0]) if len(network_probs.confidence) else 0,
            np.array(list(forced), np.uint8),
            end_probability,
            min_probability,
            only_best,
            self._branches,
            self._branch_probabilities,
            self._probabilities,
        )
        return self._probabilities

    def prefix_probability(
        self, token_prefix: bytes, network_probs: TokenDistributions = NO_DISTRIBUTIONS
    ) -> tuple[float, list[tuple[int, float]]]:
        """The chance that the next token begins with some bytes; and of each token that is a beginning of them."""
        memory = self._memory
        count = min(len(token_prefix), memory.max_token_bytes)
        memory.reserve(self._position - memory.size + self._reserve_bytes)
        for array, first in zip(self._text_states, self.text_state, strict=True):
            array[0] = first
        exact_probabilities = np.zeros(count)
        probability = prefix_probability(
            memory.state,
            memory.journal,
            memory.context_state,
            memory.trace,
            self._text_states,
            memory.trie,
            memory.text,
            memory.token_marks,
            self._position,
            network_probs.cumulative,
            1 + int(network_probs.confidence[0]) if len(network_probs.confidence) else 0,
            np.frombuffer(token_prefix[:count], np.uint8),
            exact_probabilities,
        )
        ids = [
            (memory.tokenizer.id_of(token_prefix[:length]), float(exact_probabilities[length]))
            for length in np.flatnonzero(exact_probabilities)
        ]
        return (probability if count == len(token_prefix) else 0.0), [
            (id_, token_probability) for id_, token_probability in ids if id_ is not None
        ]

    def draft(self, max_tokens: int) -> list[int]:
        """Up to so many tokens that may come next (`drafts`)."""
        memory = self._memory
        found = np.zeros(max_tokens, np.int64)
        count = draft(self.text_state, memory.trie, memory.text, memory.token_marks, self._position, found)
        ids: list[int] = found[:count].tolist()
        return ids

    def mark(self) -> tuple[TextState, int]:
        """This place, to come back to."""
        text_state = new_text_state(NUM_MATCHES)
        copy_text_state(self.text_state, text_state)
        return text_state, self._position

    def rewind(self, mark: tuple[TextState, int]) -> None:
        """Stand where a mark was made on the way here since the last `restart`."""
        copy_text_state(mark[0], self.text_state)
        self._position = mark[1]

    def accept(self, token: int) -> None:
        """Go on with a token."""
        memory = self._memory
        content = np.frombuffer(memory.tokenizer.token_bytes(token), np.uint8)
        memory.reserve(self._position - memory.size + self._reserve_bytes + len(content))
        advance_token(
            memory.state, self.text_state, memory.trie, memory.text, memory.token_marks, self._position, content
        )
        self._position += len(content)
