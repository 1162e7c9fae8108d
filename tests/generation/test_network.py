"""The network's kernels against the reference in PyTorch, and drafts, which must not change the text."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sample_text import TEXT, TOKENIZER, compiled_network, prefilled
from torch import Tensor

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.completion import stream
from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.predict.int8_matmul import dequantize, quantize
from cllm.generation.predict.kv_cache import BFLOAT16, KVCache
from cllm.generation.predict.network import Network
from cllm.generation.predict.predictors import MemoryPredictor
from cllm.generation.predict.sequence import NetworkSequence
from cllm.memory.memory import Memory
from cllm.model.transformer import Transformer

PROMPT = TOKENIZER.encode(b"int main_3(void) {")
IDS = TOKENIZER.encode(b" return 3; }  // nothing else")


def quantized_logits(transformer: Transformer, ids: list[int]) -> Tensor:
    """Logits (T, V) of the reference with its matrices quantized as in the kernels."""
    reference = deepcopy(transformer)
    for block in reference.blocks:
        for linear in (block.attention.qkv, block.attention.out, block.feed_forward.gate_up, block.feed_forward.down):
            height, width = linear.weight.shape
            matrix = dequantize(quantize(linear.weight.detach().numpy()))[:height, :width]
            linear.weight.data = torch.from_numpy(np.ascontiguousarray(matrix))
    head = torch.from_numpy(dequantize(quantize(transformer.head_weight.detach().numpy())))
    hidden = reference(torch.tensor([ids]))[0]
    return hidden @ head[: transformer.config.vocab_size, : hidden.shape[1]].T


@pytest.mark.parametrize("dtype", [np.float32, BFLOAT16])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_kernels_equal_the_reference_for_single_and_several_tokens(
    transformer: Transformer, network: Network, dtype: Any, chunk: int
) -> None:
    ids, cache = PROMPT + IDS, KVCache(transformer.config, 1, 64, dtype)
    found = np.concatenate([network.decode(ids[begin : begin + chunk], cache) for begin in range(0, len(ids), chunk)])
    bound = 1e-3 if dtype == np.float32 else 0.1  # bfloat16 keys and values have 8 significant bits
    np.testing.assert_allclose(found, quantized_logits(transformer, ids), rtol=bound, atol=bound)
    assert (cache.length, cache.position) == (len(ids), len(ids))


def test_a_text_continues_after_its_oldest_tokens_are_dropped(transformer: Transformer) -> None:
    # In one layer a key depends only on its own token, so dropping entries is equal to a shorter text.
    one_layer = Transformer(replace(transformer.config, n_layer=1))
    one_layer.load_state_dict(transformer.state_dict(), strict=False)
    network, cache = compiled_network(one_layer), KVCache(one_layer.config, 1, 64, np.float32)
    network.decode(PROMPT, cache)
    cache.keep_last(4)
    found = network.decode(IDS, cache)
    expected = quantized_logits(one_layer, PROMPT[-4:] + IDS)[4:].detach()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_quantization_changes_the_distribution_little(transformer: Transformer, network: Network) -> None:
    expected = transformer.logits(torch.tensor([PROMPT]))[0].log_softmax(-1)
    cache = KVCache(transformer.config, 1, 64, np.float32)
    found = torch.from_numpy(network.decode(PROMPT, cache)).log_softmax(-1)
    divergence = (expected.exp() * (expected - found)).sum(-1)
    assert divergence.max() < 3e-3


def test_odd_widths_are_supported_and_non_finite_weights_rejected(transformer: Transformer) -> None:
    config = replace(transformer.config, n_inner=47, n_embd=31, vocab_size=321)
    odd = Transformer(config)
    for number, weight in enumerate(odd.parameters()):
        weight.data = 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    for block in odd.blocks:
        block.feed_forward.gate_up.weight.data[47] *= 50  # in the buffer next to the last column of the next product
    odd.requires_grad_(False)
    expected = odd.logits(torch.tensor([PROMPT]))[0].numpy()
    found = compiled_network(odd).decode(PROMPT, KVCache(config, 1, 64, np.float32))
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)
    odd.blocks[0].feed_forward.down.weight.data[3, 4] = float("nan")
    with pytest.raises(AssertionError, match="not finite"):
        compiled_network(odd)


def test_decoding_beyond_the_capacity_fails_an_assertion(network: Network) -> None:
    with pytest.raises(AssertionError, match="room"):
        network.decode([1, 2, 3, 4, 5], KVCache(network.config, 1, 4))


def test_split_caches_are_independent_texts(network: Network) -> None:
    prompt, batch = KVCache(network.config, 1, 24), KVCache(network.config, 3, 24).split()
    network.decode(PROMPT, prompt)
    for row, part in enumerate(batch):
        part.copy_from(prompt)
        assert (part.batch_index, part.length, part.position) == (row, len(PROMPT), len(PROMPT))
    found = network.decode_batch(IDS[:3], batch)
    for row, token in enumerate(IDS[:3]):
        alone = network.decode([token], prompt.copy())[0]
        np.testing.assert_allclose(found[row], alone, rtol=1e-4, atol=1e-4)
    assert prompt.length == len(PROMPT)


def test_drafts_do_not_change_the_logits(network: Network) -> None:
    plain, drafted = prefilled(network, PROMPT), prefilled(network, PROMPT)
    # A correct draft, a wrong one, a correct one, a wrong one.
    drafts = {0: IDS[1:4], 4: [7, 8, 9], 5: IDS[6:7], 6: [5]}
    for number, token in enumerate(IDS):
        expected = drafted.is_drafted(token)
        drafted.accept(token, drafts.get(number, []))
        plain.accept(token)
        assert expected == (number in (1, 2, 3, 6))
        np.testing.assert_allclose(drafted.logits, plain.logits, rtol=1e-4, atol=1e-4)


def test_recompute_last_decodes_a_batched_token_alone(network: Network) -> None:
    text = prefilled(network, PROMPT)
    text.accept(IDS[0], IDS[1:3])
    text.accept(IDS[1])
    assert text.recompute_last() and not text.recompute_last() and not text.is_drafted(IDS[2])
    drafting = NetworkSequence(network, max_drafted=4)
    assert list(drafting.prefill(PROMPT + IDS + PROMPT[:-1])) == []
    drafting.accept(PROMPT[-1])
    assert drafting.is_drafted(IDS[0]), "the text itself gave no draft"
    assert drafting.recompute_last() and not drafting.recompute_last() and not drafting.is_drafted(IDS[0])
    plain = prefilled(network, PROMPT)
    for token in IDS[:2]:
        plain.accept(token)
    np.testing.assert_allclose(text.logits, plain.logits, rtol=1e-5, atol=1e-5)


def test_drafts_do_not_change_the_text(network: Network, memory: Memory, mixed_completer: Completer) -> None:
    for prefix in (b"int main_3(", b"in", TEXT.encode()[:200]):
        for temperature in (0.0, 0.8):
            params, texts = SamplingParams(max_tokens=80, temperature=temperature, seed=3), []
            for max_drafted in (0, 1, 4, 16):
                encoded = mixed_completer.encode_prompt(Prompt(prefix=prefix), 80)
                sequence = NetworkSequence(network, max_drafted)
                with MemoryPredictor(memory, sequence, encoded, max_drafted) as predictor:
                    *_, completion = stream(DecodeState(predictor, TOKENIZER, params))
                texts.append(completion.text)
            assert len(set(texts)) == 1, texts
