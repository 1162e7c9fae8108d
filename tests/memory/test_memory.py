import numpy as np
import pytest

from cllm.memory.memory import NOTHING, Memory, NetworkSays, network_says, room_for, token_marks
from cllm.tokenizer import Tokenizer

DOCUMENTS = [
    f"int field_{i}(struct node *node) {{\n  return node->field_{i % 7} + {i};\n}}\n".encode() * (1 + i % 3)
    for i in range(30)
]
NEW = b"int field_99(struct node *node) {\n  return node->field_5 + 99;\n}\n"
RANDOM = np.random.default_rng(0).integers(0, 256, 30_000).astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.learn(DOCUMENTS, 320)


@pytest.fixture
def memory(tokenizer: Tokenizer) -> Memory:
    memory = Memory(tokenizer, room_for([len(document) for document in DOCUMENTS], 40_000))
    for document in DOCUMENTS:
        memory.read(document)
    return memory


def random_network(memory: Memory, seed: int, tokens: int) -> NetworkSays:
    logits = np.random.default_rng(seed).normal(0, 3, (tokens, memory.tokenizer.vocab_size))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return network_says(probabilities.astype(np.float32), memory.trie)


@pytest.mark.parametrize(
    "prefix", [b"", b"int field_3(struct", b"int field_3(struct node *node) {\n", b"\xc3\xa9 zz", RANDOM[:200]]
)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_chances_of_all_tokens_sum_to_one(memory: Memory, prefix: bytes, seed: int | None) -> None:
    tokens = len(memory.tokenizer.encode(prefix))
    says = NOTHING if seed is None else random_network(memory, seed, tokens + 1)
    chances = memory.chances(prefix, says)
    assert chances.min() > 0
    assert chances.sum() == pytest.approx(1, abs=1e-6)


def test_random_bytes_cost_their_eight_bits(memory: Memory) -> None:
    per_byte = memory.score(RANDOM, memory.scratch()) / len(RANDOM)
    assert 8 <= per_byte < 8.4


def test_nothing_of_what_follows_is_used(memory: Memory) -> None:
    """A text's bits do not depend on what lies behind it in the memory's room."""
    scratch = memory.scratch()
    before = memory.score(NEW, scratch)
    memory.text[memory.size + len(NEW) + 1 :] = 77
    memory.marks[memory.size + len(NEW) + 1 :] = 1
    assert memory.score(NEW, scratch) == before


def test_scoring_forgets_and_reading_remembers(memory: Memory) -> None:
    scratch = memory.scratch()
    before = memory.score(NEW, scratch)
    assert memory.score(NEW, scratch) == before
    assert memory.read(NEW) == pytest.approx(before, rel=0.1)  # here each decision is learned at once
    assert memory.score(NEW, scratch) < before / 3


def test_a_text_costs_what_its_tokens_cost_one_after_another(memory: Memory) -> None:
    """The walk of one text equals the chances of its tokens, each asked for after the ones before it."""
    ids = [*memory.tokenizer.encode(NEW[:30])]
    place = {token: number for number, token in enumerate(memory.trie.ids.tolist())}
    bits = 0.0
    for number, token in enumerate(ids):
        prefix = b"".join(memory.tokenizer.token_bytes(before) for before in ids[:number])
        if memory.tokenizer.encode(prefix) != ids[:number]:
            pytest.skip("the prefix alone is cut otherwise")
        bits -= np.log2(memory.chances(prefix)[place[token]])
    text = b"".join(map(memory.tokenizer.token_bytes, ids))
    end = memory.chances(text)[-1]
    assert bits - np.log2(end) == pytest.approx(memory.score(text, memory.scratch()), rel=1e-6)


def test_a_network_that_knows_is_believed_after_a_while(memory: Memory) -> None:
    text = RANDOM[:1000]
    ids = [*memory.tokenizer.encode(text), memory.tokenizer.end_of_text]
    probabilities = np.full((len(ids), memory.tokenizer.vocab_size), 1e-4, np.float32)
    probabilities[np.arange(len(ids)), ids] = 0.96
    scratch = memory.scratch()
    says = network_says(probabilities, memory.trie)
    assert memory.score(text, scratch, says) < memory.score(text, scratch) / 2


def test_marks_say_where_tokens_begin(tokenizer: Tokenizer) -> None:
    marks = token_marks(tokenizer, NEW)
    begins = np.flatnonzero(marks)
    tokens = [NEW[begin:end] for begin, end in zip(begins, [*begins[1:], len(NEW)], strict=True)]
    assert tokens == [tokenizer.token_bytes(token) for token in tokenizer.encode(NEW)]
