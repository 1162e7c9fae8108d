"""Output heads: normalization, training loss, gradients and sampling."""

import pytest
import torch

from cllm.bench.ablation import heads
from cllm.bench.ablation.heads import HEADS, Chunked, Dense, SampledGradient, SampledSoftmax
from cllm.bench.softmax.benchmark import HEAD_NAMES

VOCAB_SIZE, WIDTH = 96, 8


def counts() -> torch.Tensor:
    return torch.randint(0, 50, (VOCAB_SIZE,), generator=torch.Generator().manual_seed(2))


def build_head(name: str) -> heads.OutputHead:
    torch.manual_seed(1)
    head = HEADS[name](counts(), WIDTH)
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_(0, 0.5)
    return head


def test_benchmark_lists_all_heads() -> None:
    assert tuple(HEADS) == HEAD_NAMES


@pytest.mark.parametrize("name", HEAD_NAMES)
def test_probabilities_of_all_words_sum_to_one(name: str) -> None:
    head, hidden = build_head(name), torch.randn(1, WIDTH)
    with torch.no_grad():
        nats = torch.stack([head.nats(hidden, torch.tensor([word])) for word in range(VOCAB_SIZE)])
    assert nats.neg().exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in HEAD_NAMES if name != "sampled"])
def test_training_loss_equals_the_exact_loss(name: str) -> None:
    head, hidden, targets = build_head(name), torch.randn(200, WIDTH), torch.randint(0, VOCAB_SIZE, (200,))
    assert head(hidden, targets).item() == pytest.approx(head.nats(hidden, targets).item(), rel=1e-5)


@pytest.mark.parametrize("kind", [Chunked, SampledGradient])
def test_chunked_gradients_equal_dense_gradients(kind: type[Dense], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SampledGradient, "sample_threshold", 0.0)  # all words are included
    dense, tested = Dense(counts(), WIDTH), kind(counts(), WIDTH)
    tested.load_state_dict(dense.state_dict())
    hidden, targets = torch.randn(300, WIDTH), torch.randint(0, VOCAB_SIZE, (300,))
    found = []
    for head in (dense, tested):
        hidden_leaf = hidden.clone().requires_grad_()
        found.append(torch.autograd.grad(head(hidden_leaf, targets), [hidden_leaf, head.weight]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_sampled_gradient_is_close_to_the_exact_one() -> None:
    torch.manual_seed(1)
    head, hidden, targets = (
        SampledGradient(torch.ones(4000), WIDTH),
        torch.randn(300, WIDTH),
        torch.randint(0, 4000, (300,)),
    )
    found = []
    for loss in (head(hidden, targets), head.nats(hidden, targets)):
        found.append(torch.autograd.grad(loss, [head.weight])[0])
    assert torch.cosine_similarity(found[0].flatten(), found[1].flatten(), dim=0) > 0.98
    assert (found[0].abs().sum(1) == 0).sum() > 2000  # words that were not sampled


def test_sampled_loss_converges_to_the_exact_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "NUM_SAMPLES", 100_000)
    torch.manual_seed(1)
    head = SampledSoftmax(counts(), WIDTH)
    torch.nn.init.normal_(head.weight, 0, 0.5)
    hidden, targets = torch.randn(50, WIDTH), torch.randint(0, VOCAB_SIZE, (50,))
    assert head(hidden, targets).item() == pytest.approx(head.nats(hidden, targets).item(), rel=0.02)
