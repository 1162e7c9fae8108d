"""Networks with one component of lattice mathematics each."""

import pytest
import torch

from cllm.bench.ablation.components import COMPONENTS
from cllm.bench.lattice.benchmark import COMPONENT_NAMES, mean_and_margin
from cllm.bench.shared.plans import network_config
from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.model.config import is_matrix, parameter_shapes
from cllm.model.transformer import Transformer

TINY = NanoGptRecipe(n_layer=2, n_head=2, n_embd=32, context_length=48, batch_size=2, vocab_size=200)
CONFIG = network_config(TINY, 200)
COUNTS = torch.randint(0, 50, (200,), generator=torch.Generator().manual_seed(2))
IDS = torch.randint(0, 200, (2, 48), generator=torch.Generator().manual_seed(3))


def build_network(name: str) -> Transformer:
    torch.manual_seed(1)
    network = COMPONENTS[name](CONFIG, COUNTS)
    with torch.no_grad():  # where blocks are not the identity, a difference in them shows
        for key, value in network.named_parameters():
            if key.endswith(("out.weight", "down.weight")):
                value.normal_(0, 0.1, generator=torch.Generator().manual_seed(sum(key.encode())))
    return network


def test_the_benchmark_has_all_components() -> None:
    assert set(COMPONENTS) | {"12 classes"} == set(COMPONENT_NAMES) and COMPONENT_NAMES[0] == "none"


@pytest.mark.parametrize("name", ["clock positions", "gcd bias", "no bias", "residue words"])
def test_a_component_begins_as_nothing(name: str) -> None:
    torch.testing.assert_close(build_network(name)(IDS), build_network("none")(IDS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "part"), [("clock positions", "projection"), ("gcd bias", "bias_scale"), ("residue words", "residues")]
)
def test_it_is_learned_and_then_it_is_something(name: str, part: str) -> None:
    network = build_network(name)
    own = {key: value for key, value in network.named_parameters() if key.endswith(part)}
    assert own and not any(value.any() for value in own.values())
    network(IDS).square().sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in own.values())
    before = network(IDS).detach()
    with torch.no_grad():
        for value in own.values():
            value.fill_(0.5)
    assert not torch.allclose(network(IDS), before, atol=1e-3)


@pytest.mark.parametrize("name", COMPONENTS)
def test_no_token_sees_what_comes_after_it(name: str) -> None:
    network = build_network(name)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.endswith(("bias_scale", "projection", "residues")):
                value.fill_(0.5)
        other = IDS.clone()
        other[:, 30:] = 7
        found, changed = network(IDS), network(other)
    torch.testing.assert_close(found[:, :30], changed[:, :30])
    assert not torch.allclose(found[:, 30:], changed[:, 30:])


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_optimizer_knows_all_matrices(name: str) -> None:
    shapes = parameter_shapes(CONFIG)
    for key, value in build_network(name).named_parameters():
        if value.dim() > 1 and is_matrix(key):
            assert tuple(value.shape) == shapes[key]


def test_kissing_words_are_as_large_as_drawn_ones_and_apart() -> None:
    kissing, drawn = (build_network(name).embedding.weight.detach() for name in ("kissing words", "none"))
    assert kissing.std().item() == pytest.approx(drawn.std().item(), rel=0.1)
    assert len(kissing.unique(dim=0)) == 200
    triples = kissing[:, :30].reshape(-1, 3)
    assert len(triples.round(decimals=5).unique(dim=0)) == 12


def test_the_margin_is_students() -> None:
    # Of 3 values 1, 2, 3: t = 4.303, the standard error 1 / sqrt(3).
    assert mean_and_margin([1.0, 2.0, 3.0]) == (2.0, pytest.approx(4.303 / 3**0.5))
