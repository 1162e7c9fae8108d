"""The memory worker process, which serves the calls of the control node.

It trains the memory on documents while the network is trained on others; then on some with the network's
distributions, from which the mixer learns how to weigh the two; then it saves the memory.
"""

import math
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cllm.background_iterator import background_iterator
from cllm.corpus import Corpus, Document
from cllm.dataset import Shard, text_ids
from cllm.machine import WorkTimer, trim_heap
from cllm.memory.continuation import Continuation
from cllm.memory.distributions import PREFETCH_CHUNKS, to_token_distributions
from cllm.memory.memory import Memory
from cllm.memory.store import load_memory, save_memory
from cllm.memory.update import update_memory
from cllm.model.load import load_model
from cllm.model.logits import document_logits
from cllm.model.transformer import Transformer
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer


class MemoryWorker:
    """The worker's calls, in order: `build`, `build_rest`, `load_network`, `build_with_network`, `save`."""

    def __init__(self) -> None:
        self._corpus: Corpus | None = None
        self._documents: list[Document] = []
        self._shard: Shard | None = None
        self._memory: Memory | None = None
        self._network: Transformer | None = None
        self._pending: deque[int] = deque()

    def build(
        self,
        corpus: str,
        dataset: str,
        tokenizer: str,
        documents: list[int],
        with_network: list[int],
        first_bytes: int | None = None,
        seconds: float | None = None,
    ) -> dict[str, float]:
        """Create the memory and train it on `documents`, until `first_bytes` were processed (None: on all).

        `documents` and `with_network` are indices into the corpus's `train` documents, whose ids are in the shard of
        `dataset`; the tables are sized for both. `seconds` and the result: as in `build_rest`.
        """
        self._corpus = self._opened(Path(corpus))
        self._documents, self._shard = self._corpus.train, Shard.open(Path(dataset), "train")
        size = sum(self._documents[number].bytes for number in [*documents, *with_network])
        self._memory = None  # freed first: two memories need not fit into RAM
        self._memory = Memory.new(Tokenizer.load(Path(tokenizer)), size)
        compile_kernels(self._memory)  # once per machine, before the first document
        self._pending = deque(documents)
        return self._build(math.inf if first_bytes is None else first_bytes, seconds)

    def build_rest(self, seconds: float | None = None) -> dict[str, float]:
        """Train on the documents that `build` left, except those that `seconds` do not suffice for.

        Returns `bits`, `bytes` and `seconds`, and the number of documents that were `left_out`.
        """
        return self._build(math.inf, seconds)

    def _build(self, max_bytes: float, seconds: float | None) -> dict[str, float]:
        """Train on pending documents until `max_bytes` were processed or none is left."""
        assert self._corpus is not None and self._memory is not None
        bits, left_out, timer = 0.0, 0, WorkTimer(seconds)
        while self._pending and timer.done < max_bytes:
            number = self._pending.popleft()
            document = self._documents[number]
            if timer.has_time_for(document.bytes):
                bits += sum(self._memory.add_document(document, self._ids(number)))
                timer.add(document.bytes)
            else:
                left_out += 1
        trim_heap()
        return {"bits": bits, "bytes": timer.done, "seconds": timer.elapsed_seconds, "left_out": left_out}

    def load_network(self, model: str, dtype: str, threads: int) -> None:
        """Load the network from `model` with weights of `dtype`, and set PyTorch's number of threads."""
        assert self._memory is not None
        torch.set_num_threads(threads)
        self._memory.init_network_weights()
        self._network = load_model(Path(model), getattr(torch, dtype))

    def build_with_network(self, document: int) -> dict[str, float]:
        """Train on a document that neither memory nor network was trained on; returns `bits` and `bytes`."""
        assert self._corpus is not None and self._memory is not None and self._network is not None
        chosen, ids = self._documents[document], self._ids(document)
        end_of_text = self._memory.tokenizer.end_of_text
        chunks = document_logits(self._network, np.append(ids, end_of_text), end_of_text)
        logits = (chunk.numpy() for chunk in chunks)
        network_probs = background_iterator(to_token_distributions(logits, self._memory.trie), PREFETCH_CHUNKS)
        return {"bits": sum(self._memory.add_document(chosen, ids, network_probs)), "bytes": chosen.bytes}

    def save(self, directory: str, metadata: dict[str, Any]) -> None:
        """Index the `train` documents that were not trained on, and save the memory with `metadata` in its manifest."""
        assert self._memory is not None and self._corpus is not None
        memory = self._memory
        known = {(source.path, source.sha256) for source in memory.index.sources}
        for number, document in enumerate(self._documents):
            if (document.path, document.sha256) not in known:
                memory.index_document(document, self._ids(number))
        memory.index.add_segment(memory.text, 0, memory.size)
        save_memory(memory, Path(directory), **metadata)

    def update(
        self, memory: str, tokenizer: str, corpus: str, directory: str, seconds: float | None = None
    ) -> dict[str, Any]:
        """Write to `directory` the update of a saved memory to a corpus (`update_memory`).

        The memory of this process is used if there is one, else it is loaded from `memory`.
        """
        loaded = self._memory or load_memory(Path(memory), Tokenizer.load(Path(tokenizer)))
        return update_memory(loaded, Path(memory), self._opened(Path(corpus)), Path(directory), seconds)

    def _ids(self, number: int) -> list[int]:
        """Ids of a `train` document's text."""
        assert self._memory is not None and self._shard is not None
        return text_ids(self._shard.document(number), self._documents[number].path, self._memory.tokenizer)

    def _opened(self, directory: Path) -> Corpus:
        """The corpus in `directory`: the one that is open, if it is that one."""
        if self._corpus is not None and self._corpus.directory == directory:
            return self._corpus
        return Corpus.open(directory)


def compile_kernels(memory: Memory) -> None:
    """Compile and cache all kernels of training, search and index, so that no later process compiles them."""
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
