"""Fixtures: a tokenizer, and a memory trained on thirty similar documents."""

import pytest
from sample_memory import DOCUMENTS, train_on_document

from cllm.memory.memory import Memory
from cllm.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(DOCUMENTS, 320)


@pytest.fixture
def memory(tokenizer: Tokenizer) -> Memory:
    memory = Memory.new(tokenizer, sum(map(len, DOCUMENTS)))
    for number, document in enumerate(DOCUMENTS):
        train_on_document(memory, f"src/{number}.c", document)
    memory.index.add_segment(memory.text, 0, memory.size)
    return memory
