"""The lattice components: initial equality to the baseline, training, causality, and the confidence interval."""

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
    with torch.no_grad():  # blocks initialized to the identity would hide differences
        for key, value in network.named_parameters():
            if key.endswith(("out.weight", "down.weight")):
                value.normal_(0, 0.1, generator=torch.Generator().manual_seed(sum(key.encode())))
    return network


def test_benchmark_lists_all_components() -> None:
    assert set(COMPONENTS) | {"12 classes"} == set(COMPONENT_NAMES) and COMPONENT_NAMES[0] == "none"


@pytest.mark.parametrize("name", ["clock positions", "gcd bias", "no bias", "residue words"])
def test_component_has_no_effect_at_initialization(name: str) -> None:
    torch.testing.assert_close(build_network(name)(IDS), build_network("none")(IDS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "suffix"), [("clock positions", "projection"), ("gcd bias", "bias_scale"), ("residue words", "residues")]
)
def test_component_receives_gradients_and_changes_the_output(name: str, suffix: str) -> None:
    network = build_network(name)
    component_parameters = {key: value for key, value in network.named_parameters() if key.endswith(suffix)}
    assert component_parameters and not any(value.any() for value in component_parameters.values())
    network(IDS).square().sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in component_parameters.values())
    before = network(IDS).detach()
    with torch.no_grad():
        for value in component_parameters.values():
            value.fill_(0.5)
    assert not torch.allclose(network(IDS), before, atol=1e-3)


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_are_causal(name: str) -> None:
    network = build_network(name)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.endswith(("bias_scale", "projection", "residues")):
                value.fill_(0.5)
        other = IDS.clone()
        other[:, 30:] = 7
        found, found_with_changed_end = network(IDS), network(other)
    torch.testing.assert_close(found[:, :30], found_with_changed_end[:, :30])
    assert not torch.allclose(found[:, 30:], found_with_changed_end[:, 30:])


@pytest.mark.parametrize("name", COMPONENTS)
def test_matrices_of_components_have_standard_shapes(name: str) -> None:
    shapes = parameter_shapes(CONFIG)
    for key, value in build_network(name).named_parameters():
        if value.dim() > 1 and is_matrix(key):
            assert tuple(value.shape) == shapes[key]


def test_kissing_embeddings_are_distinct_with_the_standard_deviation_of_random_ones() -> None:
    kissing, standard = (build_network(name).embedding.weight.detach() for name in ("kissing words", "none"))
    assert kissing.std().item() == pytest.approx(standard.std().item(), rel=0.1)
    assert len(kissing.unique(dim=0)) == 200
    triples = kissing[:, :30].reshape(-1, 3)
    assert len(triples.round(decimals=5).unique(dim=0)) == 12


def test_margin_is_from_students_t_distribution() -> None:
    # For 1, 2, 3: t = 4.303 and the standard error is 1 / sqrt(3).
    assert mean_and_margin([1.0, 2.0, 3.0]) == (2.0, pytest.approx(4.303 / 3**0.5))
