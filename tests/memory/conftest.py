import pytest
from remembered import DOCUMENTS

from cllm.memory.memory import Memory
from cllm.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.learn(DOCUMENTS, 320)


@pytest.fixture
def memory(tokenizer: Tokenizer) -> Memory:
    memory = Memory.new(tokenizer, sum(map(len, DOCUMENTS)))
    for document in DOCUMENTS:
        memory.read(document)
    return memory
