"""Several samples of one prompt by the network alone: a token of each is read at a time.

A token of each of eight takes 0.66 ms, one after another 0.94 (4.5 million parameters, 447 tokens before them, Zen 5,
2026-11-27). Left out: samples that a memory writes, too: of 4.8 ms a token it would save a hundredth.
"""

import torch
from torch import Tensor

from cllm.generation.decoder import Decoder
from cllm.generation.network import NetworkText
from cllm.model.cache import KVCache

MOST_TOGETHER = 8  # samples, which have a cache each


class Together:
    """The texts of samples, behind the prompt of a network; what they accept is read when one of them is asked."""

    def __init__(self, network: NetworkText, decoder: Decoder, count: int) -> None:
        network.restart()
        self.prompt, self.prompt_logits, self._decoder = network.prompt, network.logits, decoder
        dtype = self.prompt.keys.dtype
        caches = KVCache(network.config, count, self.prompt.capacity, dtype).split()
        self.texts = [SampleText(self, cache) for cache in caches]

    @torch.inference_mode()
    def read(self) -> None:
        """Read the token that each text waits with, if it does."""
        waiting = [text for text in self.texts if text.waiting is not None]
        caches = [text.cache for text in waiting]
        for cache in caches:
            if cache.length == cache.capacity:
                cache.keep(cache.capacity // 2)
        tokens = [text.waiting for text in waiting if text.waiting is not None]
        logits = torch.from_numpy(self._decoder.read_each(tokens, caches))
        for text, row in zip(waiting, logits, strict=True):
            text.waiting, text.heard = None, row


class SampleText:
    """One of them, asked as a `NetworkText` is."""

    def __init__(self, together: Together, cache: KVCache) -> None:
        self._together, self.cache = together, cache
        self.restart()

    def restart(self) -> None:
        """Stand behind the prompt again."""
        self.cache.take(self._together.prompt)
        self.waiting: int | None = None
        self.heard = self._together.prompt_logits
        self._accepted: list[int] = []

    @property
    def logits(self) -> Tensor:
        """(V,) fp32, of what comes next."""
        if self.waiting is not None:
            self._together.read()
        return self.heard

    def accept(self, token: int) -> None:
        """Go on with a token."""
        if self.waiting is not None:
            self._together.read()
        self.waiting = token
        self._accepted.append(token)

    def mark(self) -> int:
        """This place, to come back to."""
        return len(self._accepted)

    def back_to(self, mark: int) -> None:
        """Stand where a mark was made."""
        accepted = self._accepted[:mark]
        self.restart()
        for token in accepted:
            self.accept(token)
