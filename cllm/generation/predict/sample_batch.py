"""Several samples of one prompt by the network alone: a token of each is read at a time.

A token of each of eight takes 0.66 ms, one after another 0.94 (4.5 million parameters, 447 tokens before them, Zen 5,
2026-11-27). Left out: samples that a memory writes, too: of 4.8 ms a token it would save a hundredth.
"""

import torch
from torch import Tensor

from cllm.generation.predict.decoder import Decoder
from cllm.generation.predict.sequence import NetworkSequence
from cllm.model.cache import KVCache

MAX_BATCH_SAMPLES = 8  # samples, which have a cache each


class SampleBatch:
    """The texts of samples, behind the prompt of a network; what they accept is read when one of them is asked."""

    def __init__(self, network: NetworkSequence, decoder: Decoder, count: int) -> None:
        network.restart()
        self.prompt, self.prompt_logits, self._decoder = network.prompt, network.logits, decoder
        dtype = self.prompt.keys.dtype
        caches = KVCache(network.config, count, self.prompt.capacity, dtype).split()
        self.sequences = [SampleSequence(self, cache) for cache in caches]

    @torch.inference_mode()
    def decode_pending(self) -> None:
        """Read the token that each text waits with, if it does."""
        pending = [text for text in self.sequences if text.pending_token is not None]
        caches = [text.cache for text in pending]
        for cache in caches:
            if cache.length == cache.capacity:
                cache.keep_last(cache.capacity // 2)
        tokens = [text.pending_token for text in pending if text.pending_token is not None]
        logits = torch.from_numpy(self._decoder.decode_batch(tokens, caches))
        for text, row in zip(pending, logits, strict=True):
            text.pending_token, text.last_logits = None, row


class SampleSequence:
    """One of them, asked as a `NetworkSequence` is."""

    def __init__(self, batch: SampleBatch, cache: KVCache) -> None:
        self._batch, self.cache = batch, cache
        self.restart()

    def restart(self) -> None:
        """Stand behind the prompt again."""
        self.cache.copy_from(self._batch.prompt)
        self.pending_token: int | None = None
        self.last_logits = self._batch.prompt_logits
        self._accepted: list[int] = []

    @property
    def logits(self) -> Tensor:
        """(V,) fp32, of what comes next."""
        if self.pending_token is not None:
            self._batch.decode_pending()
        return self.last_logits

    def accept(self, token: int) -> None:
        """Go on with a token."""
        if self.pending_token is not None:
            self._batch.decode_pending()
        self.pending_token = token
        self._accepted.append(token)

    def mark(self) -> int:
        """This place, to come back to."""
        return len(self._accepted)

    def rewind(self, mark: int) -> None:
        """Stand where a mark was made."""
        accepted = self._accepted[:mark]
        self.restart()
        for token in accepted:
            self.accept(token)
