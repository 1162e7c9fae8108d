"""Fixtures: a small random network, a memory, and completers with either or both."""

import math

import pytest
import torch
from sample_text import TEXT, TOKENIZER, compiled_network

from cllm.generation import Completer
from cllm.generation.predict.network import Network
from cllm.memory.memory import Memory
from cllm.model.config import TransformerConfig
from cllm.model.transformer import Transformer, initialise


@pytest.fixture(scope="session")
def transformer() -> Transformer:
    config = TransformerConfig(
        vocab_size=TOKENIZER.vocab_size,
        n_layer=2,
        n_head=2,
        n_kv_head=1,
        n_embd=32,
        head_dim=16,
        n_inner=48,
        context_length=64,
    )
    reference = Transformer(config)
    initialise(reference, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
            # Weights that bfloat16 represents exactly.
            parameter.copy_(parameter.bfloat16().float())
    return reference.requires_grad_(False)


@pytest.fixture(scope="session")
def network(transformer: Transformer) -> Network:
    return compiled_network(transformer)


@pytest.fixture(scope="session")
def memory() -> Memory:
    memory = Memory.new(TOKENIZER, len(TEXT) * 2)
    memory.train_on(TEXT.encode())
    return memory


@pytest.fixture(scope="session")
def network_completer(network: Network) -> Completer:
    return Completer(tokenizer=TOKENIZER, network=network, memory=None)


@pytest.fixture(scope="session")
def memory_completer(memory: Memory) -> Completer:
    return Completer(tokenizer=TOKENIZER, network=None, memory=memory)


@pytest.fixture(scope="session")
def mixed_completer(network: Network, memory: Memory) -> Completer:
    return Completer(tokenizer=TOKENIZER, network=network, memory=memory)


@pytest.fixture(params=["network", "memory", "mixed"])
def completer(request: pytest.FixtureRequest) -> Completer:
    """A completer with each combination of network and memory."""
    completer: Completer = request.getfixturevalue(f"{request.param}_completer")
    return completer


@pytest.fixture
def unlimited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the guide's time limits off, so that results do not depend on the machine."""
    for name in ("PREPARE_SECONDS", "CALL_SECONDS", "REPAIR_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(f"cllm.generation.guide.guide.{name}", math.inf)
    monkeypatch.setattr("cllm.generation.guide.search.SEARCH_SECONDS", math.inf)
