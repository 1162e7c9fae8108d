"""Generation with the memory: prefill a prompt, then predict token by token.

The memory is trained on the prompt and not on accepted tokens: it is trained on text that a person wrote.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from cllm.jit.compiled import Array
from cllm.memory.drafts import draft
from cllm.memory.index.index import MAX_CONTEXT_BYTES, Index, Source
from cllm.memory.index.two_sided import find_two_sided_match
from cllm.memory.memory import Checkpoint, Memory, mark_tokens
from cllm.memory.mixer.search import (
    BRANCHES_PER_BYTE,
    SearchBuffers,
    advance_token,
    next_token_probabilities,
    prefix_probability,
)
from cllm.memory.mixer.state import NUM_MATCHES
from cllm.memory.mixer.text_state import TextState, copy_text_state, new_text_state
from cllm.memory.mixer.trie import NO_DISTRIBUTIONS, TokenDistributions

NO_BYTES = np.frombuffer(b"", np.uint8)
END_FROM_MEMORY = -1.0  # the memory's own probability of the text's end is used


class Continuation:
    """A prompt and the tokens accepted after it. `restart` drops the accepted tokens."""

    def __init__(
        self,
        memory: Memory,
        ids: Sequence[int],
        network_probs: Iterable[TokenDistributions] = (),
        num_without_network: int = 0,
        path: str = "",
    ) -> None:
        """Prefill the prompt (as `Memory.prefill`); use the object inside `memory.rollback_on_exit`."""
        self._memory, self._begin = memory, memory.size
        self._prompt_state = memory.prefill(ids, network_probs, num_without_network, path)
        self._start_state, self._index = self._prompt_state, Index(memory.index.segments, memory.index.sources)
        self._reserve_bytes = memory.max_token_bytes + 1
        max_branches = BRANCHES_PER_BYTE * self._reserve_bytes
        self._buffers = SearchBuffers(
            text_states=new_text_state(NUM_MATCHES, self._reserve_bytes + 1),
            branches=np.zeros((max_branches, 5), np.int64),
            branch_probabilities=np.zeros(max_branches),
            probabilities=np.zeros(len(memory.trie.ids) + 1),
        )
        # The first of the stacked states: a search starts there, and leaves it as it is.
        self.text_state = TextState(*(array[0] for array in self._buffers.text_states))
        self._cost_state = new_text_state(NUM_MATCHES)
        self.restart()

    def restart(self) -> None:
        """Return to the end of the prompt."""
        self._position = self._memory.size
        copy_text_state(self._start_state, self.text_state)

    def extend(self, ids: Sequence[int], network_probs: Iterable[TokenDistributions] = ()) -> None:
        """Extend the prompt and restart; the result of `match_both_sides` is dropped."""
        self._memory.index = Index(self._index.segments, self._index.sources)
        self._start_state = self._prompt_state = self._memory.extend_prefill(self._prompt_state, ids, network_probs)
        self.restart()

    def checkpoint(self) -> tuple[Checkpoint, TextState]:
        """The state after the prompt, for `return_to`; use it in `memory.rollback_on_exit(has_checkpoints=True)`."""
        return self._memory.checkpoint(), self._prompt_state

    def return_to(self, checkpoint: tuple[Checkpoint, TextState]) -> None:
        """Return to a checkpoint of this prompt, from which it may be extended otherwise."""
        self._memory.return_to(checkpoint[0])
        self._memory.index = Index(self._index.segments, self._index.sources)
        self._start_state = self._prompt_state = checkpoint[1]
        self.restart()

    def match_both_sides(self, after: bytes) -> None:
        """Set the match to the position that agrees best with the prompt and with the text after it, if there is one.

        The match counts as longer by the bytes that agree after it.
        """
        memory = self._memory
        memory.index.sources.append(Source(path="", sha256="", begin=self._begin, end=memory.size))
        # Without the last position: it is the cursor itself, which would match its own text.
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
        """Probabilities (V + 1,) float64 of all tokens of the trie and, last, of the text's end.

        `network_probs`: a network's distribution of the next token, or empty. The other arguments are those of
        `search.next_token_probabilities`. The array is reused by the next call.
        """
        memory = self._memory
        memory.reserve(self._position - memory.size + self._reserve_bytes)
        next_token_probabilities(
            memory.arrays,
            memory.journal,
            memory.trie,
            self._position,
            network_probs,
            np.frombuffer(forced, np.uint8) if forced else NO_BYTES,
            end_probability,
            min_probability,
            only_best,
            self._buffers,
        )
        return self._buffers.probabilities

    def prefix_probability(
        self, token_prefix: bytes, network_probs: TokenDistributions = NO_DISTRIBUTIONS
    ) -> tuple[float, list[tuple[int, float]]]:
        """Probability that the next token begins with `token_prefix`; and (id, probability) of its proper prefixes.

        The latter are the tokens whose bytes are a proper prefix of `token_prefix`.
        """
        memory = self._memory
        count = min(len(token_prefix), memory.max_token_bytes)
        exact_probabilities = np.zeros(count)
        memory.reserve(self._position - memory.size + self._reserve_bytes)
        probability = prefix_probability(
            memory.arrays,
            memory.journal,
            memory.trie,
            self._position,
            network_probs,
            np.frombuffer(token_prefix[:count], np.uint8),
            self._buffers.text_states,
            exact_probabilities,
        )
        ids = [
            (memory.tokenizer.id_of(token_prefix[:length]), float(exact_probabilities[length]))
            for length in np.flatnonzero(exact_probabilities)
        ]
        return (probability if count == len(token_prefix) else 0.0), [
            (id_, token_probability) for id_, token_probability in ids if id_ is not None
        ]

    def costs(self, parts: Sequence[bytes]) -> list[float]:
        """Cost in bits of each part of a text right after the prompt, as if it were one document with it.

        Parts are encoded separately. Nothing is trained on, and the position stays.
        """
        memory, begin, end = self._memory, self._memory.size, self._memory.size + sum(map(len, parts))
        ids = [memory.tokenizer.encode(part) for part in parts]
        memory.reserve(end - begin + self._reserve_bytes)
        kept = memory.text[begin:end].copy(), memory.token_marks[begin:end].copy()  # of accepted tokens
        memory.text[begin:end] = np.frombuffer(b"".join(parts), np.uint8)
        memory.token_marks[begin:end] = mark_tokens(memory.tokenizer, [id_ for part in ids for id_ in part])
        copy_text_state(self._start_state, self._cost_state)
        found = []
        for part in parts:
            end_of_part = begin + len(part)
            bits = memory.run_coder(self._cost_state, begin, end_of_part, NO_DISTRIBUTIONS, False) if part else 0.0
            found.append(bits)
            begin = end_of_part
        begin = memory.size
        memory.text[begin:end], memory.token_marks[begin:end] = kept
        return found

    def draft(self, max_tokens: int) -> list[int]:
        """Ids of at most `max_tokens` likely next tokens (`drafts`)."""
        memory = self._memory
        found = np.zeros(max_tokens, np.int64)
        count = draft(self.text_state, memory.trie, memory.text, memory.token_marks, self._position, found)
        ids: list[int] = found[:count].tolist()
        return ids

    def mark(self) -> tuple[TextState, int]:
        """The current position, for `rewind`."""
        text_state = new_text_state(NUM_MATCHES)
        copy_text_state(self.text_state, text_state)
        return text_state, self._position

    def rewind(self, mark: tuple[TextState, int]) -> None:
        """Return to a mark that was made on the path to here, since the last `restart`."""
        copy_text_state(mark[0], self.text_state)
        self._position = mark[1]

    def accept(self, token: int) -> None:
        """Append a token, without training on it."""
        memory = self._memory
        content = np.frombuffer(memory.tokenizer.token_bytes(token), np.uint8)
        memory.reserve(self._position - memory.size + self._reserve_bytes + len(content))
        advance_token(
            memory.state.match_slots,
            memory.trie,
            self.text_state,
            memory.text,
            memory.token_marks,
            self._position,
            content,
        )
        self._position += len(content)
