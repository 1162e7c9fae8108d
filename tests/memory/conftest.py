import pytest
from sample_memory import DOCUMENTS, learn

from cllm.memory.memory import Memory
from cllm.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(DOCUMENTS, 320)


@pytest.fixture
def memory(tokenizer: Tokenizer) -> Memory:
    memory = Memory.new(tokenizer, sum(map(len, DOCUMENTS)))
    for number, document in enumerate(DOCUMENTS):
        learn(memory, f"src/{number}.c", document)
    memory.index.add_segment(memory.text, 0, memory.size)
    return memory
