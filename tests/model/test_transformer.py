"""The transformer: attention, loss, KV cache, shapes and initialization."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cllm.model.attention import QUERIES_PER_BLOCK, causal_attention
from cllm.model.cache import KVCache
from cllm.model.config import TransformerConfig, fused_rows, parameter_shapes
from cllm.model.loss import IGNORE_INDEX, linear_cross_entropy
from cllm.model.transformer import Transformer, initialise


def config(**changes: object) -> TransformerConfig:
    shape = {"vocab_size": 97, "n_layer": 2, "n_head": 4, "n_kv_head": 2, "n_embd": 32, "head_dim": 8, "n_inner": 48}
    return TransformerConfig(**{**shape, **changes})  # type: ignore[arg-type]


def network(**changes: object) -> Transformer:
    model = Transformer(config(**changes))
    initialise(model, torch.Generator().manual_seed(0))
    with torch.no_grad():  # projections into the residual stream are initialized to zero, which would hide errors
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.05)
    return model


def ids(batch: int, tokens: int) -> Tensor:
    return torch.randint(0, 97, (batch, tokens), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("num_past", [0, 5, QUERIES_PER_BLOCK])
@pytest.mark.parametrize("tokens", [1, 7, QUERIES_PER_BLOCK, 2 * QUERIES_PER_BLOCK + 3])
def test_blocked_attention_equals_scaled_dot_product_attention(tokens: int, num_past: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, tokens, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    k, v = (
        torch.randn(2, 3, num_past + tokens, 8, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    visible = torch.ones(tokens, num_past + tokens, dtype=torch.bool).tril(num_past)
    plain = F.scaled_dot_product_attention(q, k, v, visible)
    actual = causal_attention(q, k, v)
    torch.testing.assert_close(actual, plain)
    weights = torch.randn(plain.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad((plain * weights).sum(), (q, k, v))
    torch.testing.assert_close(torch.autograd.grad((actual * weights).sum(), (q, k, v)), expected)


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_match_finite_differences(tied: bool) -> None:
    model = network(tied=tied).double()
    tokens = ids(2, 6)

    def loss() -> Tensor:  # in double precision; `linear_cross_entropy` accumulates in float32
        logits = F.linear(model(tokens[:, :-1]), model.head_weight)
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    parameters = dict(model.named_parameters())
    gradients = dict(zip(parameters, torch.autograd.grad(loss(), list(parameters.values())), strict=True))
    for name, parameter in parameters.items():
        index = int(gradients[name].abs().argmax())
        flat = parameter.data.view(-1)
        before, step = flat[index].item(), 1e-5
        flat[index] = before + step
        above = loss().item()
        flat[index] = before - step
        below = loss().item()
        flat[index] = before
        assert (above - below) / (2 * step) == pytest.approx(gradients[name].view(-1)[index].item(), rel=1e-4), name


def test_fused_loss_and_gradients_equal_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 100, 16, generator=generator, requires_grad=True)
    weight = torch.randn(50, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 50, (3, 100), generator=generator)
    targets[0, :7] = IGNORE_INDEX
    plain = F.cross_entropy(
        (hidden @ weight.t()).flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
    )
    actual = linear_cross_entropy(hidden, weight, targets)
    torch.testing.assert_close(actual, plain)
    expected = torch.autograd.grad(plain * 0.3, (hidden, weight))
    torch.testing.assert_close(torch.autograd.grad(actual * 0.3, (hidden, weight)), expected)


def test_hidden_states_do_not_depend_on_later_tokens() -> None:
    model = network()
    one, other = ids(1, 40), ids(1, 40)
    other[:, :20] = one[:, :20]
    torch.testing.assert_close(model(one)[:, :20], model(other)[:, :20])


@pytest.mark.parametrize("chunks", [[1] * 30, [7, 1, 22], [30]])
def test_cached_decoding_equals_uncached_decoding(chunks: list[int]) -> None:
    model = network()
    tokens = ids(2, 30)
    cache = KVCache(model.config, 2, 30, torch.float32)
    parts = [model.logits(part, cache) for part in torch.split(tokens, chunks, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), model.logits(tokens))


def test_keep_last_equals_a_shorter_text_in_one_layer() -> None:
    # In one layer a key depends only on its own token, so dropping entries is equal to a shorter text.
    model = network(n_layer=1)
    tokens = ids(1, 24)
    cache = KVCache(model.config, 1, 24, torch.float32)
    model(tokens[:, :16], cache)
    cache.keep_last(6)
    truncated = model(tokens[:, 16:], cache)
    torch.testing.assert_close(truncated, model(tokens[:, 10:])[:, 6:])


def test_batch_rows_equal_single_rows() -> None:
    model = network()
    tokens = ids(5, 33)
    together = model.logits(tokens)
    for row in range(5):
        torch.testing.assert_close(together[row], model.logits(tokens[row : row + 1])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_parameter_shapes_match_the_network(tied: bool) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in Transformer(config(tied=tied)).named_parameters()}
    assert parameter_shapes(config(tied=tied)) == shapes
    assert list(parameter_shapes(config(tied=tied))) == list(shapes)
    assert all(sum(fused_rows(config(tied=tied), name)) == shape[0] for name, shape in shapes.items())


def test_num_matrix_parameters_excludes_embedding_and_norms() -> None:
    shapes = parameter_shapes(config(tied=False))
    matrices = sum(a * b for name, (a, *rest) in shapes.items() for b in rest if name != "embedding.weight")
    assert config(tied=False).num_matrix_parameters == matrices


def test_initial_loss_is_that_of_a_uniform_distribution() -> None:
    model = Transformer(config())
    initialise(model, torch.Generator().manual_seed(0))
    tokens = ids(4, 50)
    loss = linear_cross_entropy(model(tokens[:, :-1]), model.head_weight, tokens[:, 1:]) / tokens[:, 1:].numel()
    assert loss.item() == pytest.approx(torch.tensor(97.0).log().item(), rel=0.02)
