"""Likelihood and rank of each token of a document, with the context and chunks of `document_logits`."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cllm.evaluation.likelihood import Likelihood
from cllm.model.config import TransformerConfig
from cllm.model.logits import document_logits
from cllm.model.transformer import Transformer, initialise


def network(n_layer: int = 1) -> Transformer:
    shape = {"vocab_size": 50, "n_head": 2, "n_kv_head": 2, "n_embd": 16, "head_dim": 8, "n_inner": 24}
    model = Transformer(TransformerConfig(n_layer=n_layer, context_length=32, **shape))  # type: ignore[arg-type]
    initialise(model, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return model.requires_grad_(False)


def likelihood_of(model: Transformer, ids: npt.NDArray[np.int64]) -> Likelihood:
    found = Likelihood(ids)
    for _ in found.record(document_logits(model, ids, 0)):
        pass
    return found


def document(length: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.append(np.random.default_rng(0).integers(1, 50, length), 0)


def test_short_document_matches_a_single_forward_pass() -> None:
    model, ids = network(2), document(20)
    logits = model.logits(torch.from_numpy(np.append(0, ids[:-1]))[None])[0]
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(ids), reduction="none")
    result = likelihood_of(model, ids)
    np.testing.assert_allclose(result.nats, expected.numpy(), rtol=1e-4)
    assert result.bits == pytest.approx(expected.sum().item() / math.log(2), rel=1e-5)
    best = logits.argmax(-1).numpy()
    assert result.top(1) == int((best == ids).sum())
    assert result.top(1) <= result.top(5) <= result.top(50) == len(ids)


def test_every_token_is_predicted_from_at_least_half_the_context() -> None:
    # With one layer, predictions depend only on the kept keys, so a window without a cache gives the same.
    model, ids = network(1), document(100)
    inputs = np.append(0, ids[:-1])
    nats = likelihood_of(model, ids).nats
    for position in range(len(ids)):
        begin = max(0, position // 16 * 16 - 16)
        logits = model.logits(torch.from_numpy(inputs[begin : position + 1])[None])[0, -1]
        assert nats[position] == pytest.approx(-logits.log_softmax(-1)[int(ids[position])].item(), rel=1e-3, abs=1e-4)
        assert position - begin >= min(position, 16)


def test_likelihood_does_not_depend_on_later_tokens() -> None:
    model = network(2)
    document_a, document_b = document(90), document(90)
    document_b[50:-1] = 7
    np.testing.assert_array_equal(
        likelihood_of(model, document_a).nats[:49], likelihood_of(model, document_b).nats[:49]
    )


def test_end_of_text_is_scored() -> None:
    model, ids = network(1), document(40)
    assert len(likelihood_of(model, ids).nats) == 41
