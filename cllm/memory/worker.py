"""The remembering process, answering the calls of the control node.

It reads documents while the network learns others; then it reads some with what the network says of them, which tells
whom to trust; then it saves the memory.
"""

import math
import time
from collections import deque
from pathlib import Path
from typing import Any

import torch

from cllm.background_iterator import background_iterator
from cllm.corpus import Corpus, Document
from cllm.machine import trim_heap
from cllm.memory.continuation import Continuation
from cllm.memory.distributions import PREFETCH_CHUNKS, encode_document, to_token_distributions
from cllm.memory.memory import Memory
from cllm.memory.store import load_memory, save_memory
from cllm.memory.update import update_memory
from cllm.model.load import load_model
from cllm.model.logits import document_logits
from cllm.model.transformer import Transformer
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer


class MemoryWorker:
    """The calls; `build` comes first, `build_rest` next, `load_network` before `build_with_network`."""

    def __init__(self) -> None:
        self._corpus: Corpus | None = None
        self._documents: list[Document] = []
        self._memory: Memory | None = None
        self._network: Transformer | None = None
        self._pending: deque[int] = deque()

    def build(
        self, corpus: str, tokenizer: str, documents: list[int], with_network: list[int], first_bytes: int | None
    ) -> dict[str, float]:
        """Read documents, given by their numbers among the learned ones, `with_network` of which follow: so many
        bytes first.

        Or all of them. Bits, bytes and seconds.
        """
        self._corpus = Corpus.open(Path(corpus))
        self._documents = self._corpus.train
        size = sum(self._documents[number].bytes for number in [*documents, *with_network])
        self._memory = None  # there is never room for two
        self._memory = Memory.new(Tokenizer.load(Path(tokenizer)), size)
        compile_kernels(self._memory)  # once on a machine; nothing can be read before
        self._pending = deque(documents)
        return self._build(math.inf if first_bytes is None else first_bytes)

    def build_rest(self) -> dict[str, float]:
        """Read what `build` left."""
        return self._build(math.inf)

    def _build(self, max_bytes: float) -> dict[str, float]:
        """Read until so many bytes were read, or everything."""
        assert self._corpus is not None and self._memory is not None
        bits, size, began = 0.0, 0, time.monotonic()
        while self._pending and size < max_bytes:
            document = self._documents[self._pending.popleft()]
            bits += sum(self._memory.add_document(document, self._corpus.text(document)))
            size += document.bytes
        trim_heap()
        return {"bits": bits, "bytes": size, "seconds": time.monotonic() - began}

    def load_network(self, model: str, dtype: str, threads: int) -> None:
        """Load the network."""
        assert self._memory is not None
        torch.set_num_threads(threads)
        self._memory.init_network_weights()
        self._network = load_model(Path(model), getattr(torch, dtype))

    def build_with_network(self, document: int) -> dict[str, float]:
        """Read a document that neither has learned; bits and bytes."""
        assert self._corpus is not None and self._memory is not None and self._network is not None
        chosen = self._documents[document]
        text = self._corpus.text(chosen)
        tokenizer, trie = self._memory.tokenizer, self._memory.trie
        logits = document_logits(self._network, encode_document(text, tokenizer), tokenizer.end_of_text)
        network_probs = background_iterator(to_token_distributions(logits, trie), PREFETCH_CHUNKS)
        return {"bits": sum(self._memory.add_document(chosen, text, network_probs)), "bytes": len(text)}

    def save(self, directory: str, metadata: dict[str, Any]) -> None:
        """Write the memory, which also knows the documents that it did not read; `metadata` are for its manifest."""
        assert self._memory is not None and self._corpus is not None
        memory = self._memory
        known = {(source.path, source.sha256) for source in memory.index.sources}
        for document in self._documents:
            if (document.path, document.sha256) not in known:
                memory.index_document(document, self._corpus.text(document))
        memory.index.add_segment(memory.text, 0, memory.size)
        save_memory(memory, Path(directory), **metadata)

    def update(self, memory: str, tokenizer: str, corpus: str, directory: str) -> dict[str, Any]:
        """Bring a saved memory, that of this process if it has one, up to date with a corpus, in `directory`."""
        loaded = self._memory or load_memory(Path(memory), Tokenizer.load(Path(tokenizer)))
        return update_memory(loaded, Path(memory), Corpus.open(Path(corpus)), Path(directory))


def compile_kernels(memory: Memory) -> None:
    """Have the kernels ready that reading and searching need, so that no later process compiles one."""
    with memory.rollback_on_exit(1):
        text = Continuation(memory, memory.tokenizer.encode(b"\n"))
        memory.index.add_segment(memory.text, 0, memory.size)
        memory.index.longest_match(memory.text, b"\n")
        text.prefix_probability(b"ab")
        text.draft(1)
        text.accept(int(memory.trie.ids[text.probabilities(only_best=True)[:-1].argmax()]))


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker = MemoryWorker()
    names = ("build", "build_rest", "load_network", "build_with_network", "save", "update")
    serve({name: getattr(worker, name) for name in names})
