"""Decoding of one sequence by the network (B = 1), with speculative decoding.

Draft tokens are decoded together with an accepted token: a few tokens at once take little longer than one. If the
draft is right, the logits after it are already computed; if it is wrong, it is removed from the cache (the
verification of Leviathan et al. 2023, arXiv:2211.17192, for a draft that proposes one token and no distribution).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cllm.generation.predict.kv_cache import KVCache
from cllm.generation.predict.network import Network
from cllm.generation.predict.ngram_draft import NgramDrafter
from cllm.jit.compiled import Array

PREFILL_CHUNK_TOKENS = 128  # the consumer of a chunk's logits works while the next chunk is prefilled


class SequenceMark(NamedTuple):
    """A position of a sequence, for `rewind`.

    `logits` (V,) of the next token; the token that was decoded in a batch, or None; the cache's length and position;
    the number of cache evictions; the number of accepted tokens.
    """

    logits: Array
    batched_token: int | None
    length: int
    position: int
    num_evictions: int
    num_accepted: int


class PromptCheckpoint(NamedTuple):
    """A place in a prompt: the number of its tokens up to there, and the hidden state (1, D, padded) after them."""

    length: int
    last_hidden: Array


class NetworkSequence:
    """One sequence in the network; `logits` (V,) float32 are those of the next token. `restart` rewinds to the prompt.

    When the cache is full, its older half is evicted. Keys use rotary embeddings, so the other half stays unchanged.
    """

    def __init__(self, network: Network, max_drafted: int = 0) -> None:
        """Create an empty sequence.

        With each token, up to `max_drafted` draft tokens are decoded that the text itself proposes (`ngram_draft`).
        """
        self._network, self.config = network, network.config
        self.prompt = KVCache(network.config, 1, network.config.context_length)
        self._drafter, self._max_drafted = NgramDrafter(), max_drafted
        self._last_hidden: Array | None = None  # hidden state (1, D, padded) after the prompt

    def prefill(self, ids: Sequence[int], num_logits: int = 0) -> Iterator[Array]:
        """Append ids to the prompt (at least one at the first call); only the last ones that fit the context are used.

        Yields, chunk by chunk, logits (n, V) float32 that predict the last `num_logits` ids, each from the ids before
        it. The caller must exhaust the iterator.
        """
        ids = ids[-(self.prompt.capacity - 1) :]
        num_without_logits = len(ids) - num_logits
        self._drafter.rewind(self.prompt.length)
        for id_ in ids:
            self._drafter.accept(id_)
        for begin in range(0, len(ids), PREFILL_CHUNK_TOKENS):
            part = ids[begin : begin + PREFILL_CHUNK_TOKENS]
            hidden = self._network.hidden_states(part, self.prompt)
            before = hidden[:-1] if self._last_hidden is None else np.concatenate([self._last_hidden, hidden[:-1]])
            first = max(0, num_without_logits - begin)  # first id of the part whose logits are yielded
            self._last_hidden = hidden[-1:]
            if first < len(part):
                yield self._network.logits(before[len(before) - (len(part) - first) :])
        self.restart()

    def prompt_checkpoint(self) -> PromptCheckpoint:
        """The current end of the prompt, for `return_to`."""
        assert self._last_hidden is not None, "checkpoint before prefill: there is no prompt"
        return PromptCheckpoint(self.prompt.length, self._last_hidden)

    def return_to(self, checkpoint: PromptCheckpoint) -> None:
        """Drop what was appended to the prompt since a checkpoint; `prefill` or `restart` has to follow."""
        self.prompt.drop_last(self.prompt.length - checkpoint.length)
        self._last_hidden = checkpoint.last_hidden

    def has_capacity(self, num_ids: int) -> bool:
        """Whether `num_ids` more ids fit into the prompt's cache."""
        return self.prompt.length + num_ids < self.prompt.capacity

    def restart(self) -> None:
        """Rewind to the end of the prompt."""
        self._cache = self.prompt.copy()
        self._batched_token: int | None = None  # last token, if it was decoded with others; see `recompute_last`
        self._drafted: deque[tuple[int, Array]] = deque()  # draft tokens in the cache that are not accepted yet
        assert self._last_hidden is not None, "restart before prefill: there is no prompt"
        self.logits = self._network.logits(self._last_hidden)[0]
        self._accepted: list[int] = []
        self._drafter.rewind(self.prompt.length)
        self._num_evictions = 0

    def mark(self) -> SequenceMark:
        """Return a mark of the current position for `rewind`."""
        drafted = len(self._drafted)
        length, position = self._cache.length - drafted, self._cache.position - drafted
        return SequenceMark(
            self.logits, self._batched_token, length, position, self._num_evictions, len(self._accepted)
        )

    def rewind(self, mark: SequenceMark) -> None:
        """Rewind to a mark that was made on the current path since the last `restart`."""
        if mark.num_evictions != self._num_evictions:  # evicted keys and values are computed again
            accepted = self._accepted[: mark.num_accepted]
            self.restart()
            for token in accepted:
                self.accept(token)
            return
        self._drafted.clear()
        del self._accepted[mark.num_accepted :]
        self._drafter.rewind(self.prompt.length + mark.num_accepted)
        self._cache.length, self._cache.position = mark.length, mark.position
        self.logits, self._batched_token = mark.logits, mark.batched_token

    def is_drafted(self, token: int) -> bool:
        """Whether a token is already decoded as the next draft token."""
        return bool(self._drafted) and self._drafted[0][0] == token

    def accept(self, token: int, draft: Sequence[int] = ()) -> None:
        """Append a token. `draft`: tokens to decode together with it, unless the token itself is already drafted.

        A draft by the text itself takes precedence over `draft`.
        """
        self._accepted.append(token)
        self._drafter.accept(token)
        if self.is_drafted(token):
            self._batched_token, self.logits = self._drafted.popleft()
        else:
            self._forward([token, *(self._drafter.draft(self._max_drafted) or draft)])

    def recompute_last(self) -> bool:
        """Decode the last token again alone, if it was decoded together with others; return whether it was.

        Sums of a batch and of a single token are rounded differently.
        """
        if self._batched_token is None:
            return False
        self._cache.drop_last(1)
        self._forward([self._batched_token])
        return True

    def _forward(self, ids: Sequence[int]) -> None:
        """Decode an accepted token and the draft tokens after it, as far as the cache has room."""
        self._cache.drop_last(len(self._drafted))
        if self._cache.length == self._cache.capacity:
            self._cache.keep_last(self._cache.capacity // 2)
            self._num_evictions += 1
        ids = ids[: self._cache.capacity - self._cache.length]
        logits = self._network.decode(ids, self._cache)
        self._batched_token = ids[0] if len(ids) > 1 else None
        self._drafted = deque(zip(ids[1:], logits[1:], strict=True))
        self.logits = logits[0]
