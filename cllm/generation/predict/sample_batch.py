"""Batched decoding of several samples of one prompt by the network alone.

One token of each of 8 samples takes 0.66 ms in a batch and 0.94 ms one after another (4.5 million parameters, 447
tokens of context, Zen 5, 2026-11-27). Samples with a memory are not batched: that would save 1% of 4.8 ms per token.
"""

from cllm.generation.predict.kv_cache import KVCache
from cllm.generation.predict.network import Network
from cllm.generation.predict.sequence import NetworkSequence
from cllm.jit.compiled import Array

MAX_BATCH_SAMPLES = 8  # each sample has its own cache


class SampleBatch:
    """The sequences of several samples after one prompt; accepted tokens are decoded when logits are next needed."""

    def __init__(self, sequence: NetworkSequence, network: Network, count: int) -> None:
        sequence.restart()
        self.prompt, self.prompt_logits, self._network = sequence.prompt, sequence.logits, network
        caches = KVCache(network.config, count, self.prompt.capacity).split()
        self.sequences = [SampleSequence(self, cache) for cache in caches]

    def decode_pending(self) -> None:
        """Decode the pending token of every sequence that has one."""
        pending = [text for text in self.sequences if text.pending_token is not None]
        caches = [text.cache for text in pending]
        for cache in caches:
            if cache.length == cache.capacity:
                cache.keep_last(cache.capacity // 2)
        tokens = [text.pending_token for text in pending if text.pending_token is not None]
        logits = self._network.decode_batch(tokens, caches)
        for text, row in zip(pending, logits, strict=True):
            text.pending_token, text.last_logits = None, row


class SampleSequence:
    """One sequence of a `SampleBatch`, with the interface of `NetworkSequence`."""

    def __init__(self, batch: SampleBatch, cache: KVCache) -> None:
        self._batch, self.cache = batch, cache
        self.restart()

    def restart(self) -> None:
        """Rewind to the end of the prompt."""
        self.cache.copy_from(self._batch.prompt)
        self.pending_token: int | None = None
        self.last_logits: Array = self._batch.prompt_logits
        self._accepted: list[int] = []

    @property
    def logits(self) -> Array:
        """Logits (V,) float32 of the next token."""
        if self.pending_token is not None:
            self._batch.decode_pending()
        return self.last_logits

    def accept(self, token: int) -> None:
        """Append a token, which is decoded later (`decode_pending`)."""
        if self.pending_token is not None:
            self._batch.decode_pending()
        self.pending_token = token
        self._accepted.append(token)

    def mark(self) -> int:
        """Return a mark of the current position for `rewind`."""
        return len(self._accepted)

    def rewind(self, mark: int) -> None:
        """Rewind to a mark."""
        accepted = self._accepted[:mark]
        self.restart()
        for token in accepted:
            self.accept(token)
