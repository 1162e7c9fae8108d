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

from cllm.ahead import ahead
from cllm.corpus import Corpus, Document
from cllm.machine import return_memory
from cllm.memory.continuation import Continuation
from cllm.memory.memory import Memory
from cllm.memory.network import PIECES_AHEAD, ids_of, in_memory_terms
from cllm.memory.store import load_memory, save_memory
from cllm.memory.update import update_memory
from cllm.model.load import load_model
from cllm.model.reading import read
from cllm.model.transformer import Transformer
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer


class Worker:
    """The calls; `begin` comes first, `read_rest` next, `hear` before `read_with_network`."""

    def __init__(self) -> None:
        self._corpus: Corpus | None = None
        self._documents: list[Document] = []
        self._memory: Memory | None = None
        self._network: Transformer | None = None
        self._unread: deque[int] = deque()

    def begin(
        self, corpus: str, tokenizer: str, documents: list[int], more: list[int], first: int | None
    ) -> dict[str, float]:
        """Read documents, given by their numbers among the learned ones, `more` of which follow: so many bytes first.

        Or all of them. Bits, bytes and seconds.
        """
        self._corpus = Corpus.open(Path(corpus))
        self._documents = self._corpus.train
        size = sum(self._documents[number].bytes for number in [*documents, *more])
        self._memory = None  # there is never room for two
        self._memory = Memory.new(Tokenizer.load(Path(tokenizer)), size)
        compile_kernels(self._memory)  # once on a machine; nothing can be read before
        self._unread = deque(documents)
        return self._read(math.inf if first is None else first)

    def read_rest(self) -> dict[str, float]:
        """Read what `begin` left."""
        return self._read(math.inf)

    def _read(self, most: float) -> dict[str, float]:
        """Read until so many bytes were read, or everything."""
        assert self._corpus is not None and self._memory is not None
        bits, size, began = 0.0, 0, time.monotonic()
        while self._unread and size < most:
            document = self._documents[self._unread.popleft()]
            bits += sum(self._memory.learning(document, self._corpus.text(document)))
            size += document.bytes
        return_memory()
        return {"bits": bits, "bytes": size, "seconds": time.monotonic() - began}

    def hear(self, model: str, dtype: str, threads: int) -> None:
        """Load the network."""
        assert self._memory is not None
        torch.set_num_threads(threads)
        self._memory.begin_hearing()
        self._network = load_model(Path(model), getattr(torch, dtype))

    def read_with_network(self, document: int) -> dict[str, float]:
        """Read a document that neither has learned; bits and bytes."""
        assert self._corpus is not None and self._memory is not None and self._network is not None
        heard = self._documents[document]
        text = self._corpus.text(heard)
        tokenizer, trie = self._memory.tokenizer, self._memory.trie
        logits = read(self._network, ids_of(text, tokenizer), tokenizer.end_of_text)
        says = ahead(in_memory_terms(logits, trie), PIECES_AHEAD)
        return {"bits": sum(self._memory.learning(heard, text, says)), "bytes": len(text)}

    def save(self, directory: str, facts: dict[str, Any]) -> None:
        """Write the memory, which also knows the documents that it did not read; `facts` are for its manifest."""
        assert self._memory is not None and self._corpus is not None
        memory = self._memory
        known = {(source.path, source.sha256) for source in memory.index.sources}
        for document in self._documents:
            if (document.path, document.sha256) not in known:
                memory.know(document, self._corpus.text(document))
        memory.index.sort(memory.text, 0, memory.size)
        save_memory(memory, Path(directory), **facts)

    def update(self, memory: str, tokenizer: str, corpus: str, directory: str) -> dict[str, Any]:
        """Bring a saved memory, that of this process if it has one, up to date with a corpus, in `directory`."""
        loaded = self._memory or load_memory(Path(memory), Tokenizer.load(Path(tokenizer)))
        return update_memory(loaded, Path(memory), Corpus.open(Path(corpus)), Path(directory))


def compile_kernels(memory: Memory) -> None:
    """Have the kernels ready that reading and searching need, so that no later process compiles one."""
    with memory.forgetting(1):
        text = Continuation(memory, memory.tokenizer.encode(b"\n"))
        memory.index.sort(memory.text, 0, memory.size)
        memory.index.longest(memory.text, b"\n")
        text.split(b"ab")
        text.draft(1)
        text.accept(int(memory.trie.ids[text.chances(only_best=True)[:-1].argmax()]))


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker = Worker()
    names = ("begin", "read_rest", "hear", "read_with_network", "save", "update")
    serve({name: getattr(worker, name) for name in names})
