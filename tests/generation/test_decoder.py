"""The decoder kernel against the network in PyTorch, and drafts, which must not change the text."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_text import TEXT, TOKENIZER, prefilled

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.completion import stream
from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.predict.decoder import Decoder
from cllm.generation.predict.int8_matmul import dequantize, quantize
from cllm.generation.predict.predictors import MemoryPredictor
from cllm.generation.predict.sequence import NetworkSequence
from cllm.memory.memory import Memory
from cllm.model.cache import KVCache
from cllm.model.transformer import Transformer

PROMPT = TOKENIZER.encode(b"int main_3(void) {")
IDS = TOKENIZER.encode(b" return 3; }  // nothing else")


def quantized_model(model: Transformer) -> Transformer:
    """A copy of the network with its matrices quantized as in the decoder."""
    reference = deepcopy(model)
    for block in reference.blocks:
        for linear in (block.attention.qkv, block.attention.out, block.feed_forward.gate_up, block.feed_forward.down):
            height, width = linear.weight.shape
            matrix = dequantize(quantize(linear.weight.detach().numpy()))[:height, :width]
            linear.weight.data = torch.from_numpy(np.ascontiguousarray(matrix))
    return reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoder_equals_the_reference_for_single_and_batched_tokens(model: Transformer, dtype: torch.dtype) -> None:
    decoder, reference = Decoder(model), quantized_model(model)
    reference_cache = KVCache(model.config, 1, 64, torch.float32)
    single, batched = (KVCache(model.config, 1, 64, dtype) for _ in range(2))
    head = torch.from_numpy(dequantize(quantize(model.head_weight.detach().numpy())))[: model.config.vocab_size]
    with torch.inference_mode():
        hidden = reference(torch.tensor([PROMPT]), reference_cache)
        for cache in (single, batched):
            for target, source in ((cache.keys, reference_cache.keys), (cache.values, reference_cache.values)):
                target.copy_(source)
            cache.length, cache.position = reference_cache.length, reference_cache.position
        hidden = torch.cat([reference(torch.tensor([[token]]), reference_cache)[0] for token in IDS])
    expected = hidden @ head[:, : hidden.shape[1]].T
    singles = torch.cat([torch.from_numpy(decoder.decode([token], single)) for token in IDS])
    batched_logits = torch.from_numpy(decoder.decode(IDS, batched))
    torch.testing.assert_close(batched_logits, singles, rtol=1e-3, atol=1e-3)
    bound = 1e-3 if dtype == torch.float32 else 0.1  # bfloat16 keys and values have 8 significant bits
    torch.testing.assert_close(singles, expected, rtol=bound, atol=bound)
    assert (
        (single.length, single.position)
        == (batched.length, batched.position)
        == (reference_cache.length, reference_cache.position)
    )


def test_quantization_changes_the_distribution_little(model: Transformer) -> None:
    decoder, cache, reference_cache = Decoder(model), *(KVCache(model.config, 1, 64, torch.float32) for _ in range(2))
    with torch.inference_mode():
        expected = model.logits(torch.tensor([PROMPT]), reference_cache)[0].log_softmax(-1)
    found = torch.from_numpy(decoder.decode(PROMPT, cache)).log_softmax(-1)
    divergence = (expected.exp() * (expected - found)).sum(-1)
    assert divergence.max() < 3e-3


def test_odd_widths_are_supported_and_non_finite_weights_rejected(model: Transformer) -> None:
    config = replace(model.config, n_inner=47, n_embd=31, vocab_size=321)
    odd = Transformer(config)
    for number, weight in enumerate(odd.parameters()):
        weight.data = 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    for block in odd.blocks:
        block.feed_forward.gate_up.weight.data[47] *= 50  # in the buffer next to the last column of the next product
    odd.requires_grad_(False)
    cache, reference_cache = (KVCache(config, 1, 64, torch.float32) for _ in range(2))
    with torch.inference_mode():
        expected = odd.logits(torch.tensor([PROMPT]), reference_cache)[0]
    found = torch.from_numpy(Decoder(odd).decode(PROMPT, cache))
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.05 * expected.norm()
    odd.blocks[0].feed_forward.down.weight.data[3, 4] = float("nan")
    with pytest.raises(AssertionError, match="not finite"):
        Decoder(odd)


def test_decoding_beyond_the_capacity_fails_an_assertion(model: Transformer) -> None:
    cache = KVCache(model.config, 1, 4, torch.float32)
    with pytest.raises(AssertionError, match="room"):
        Decoder(model).decode([1, 2, 3, 4, 5], cache)


@pytest.mark.parametrize("kernel", [False, True])
def test_drafts_do_not_change_the_logits(model: Transformer, kernel: bool) -> None:
    decoder = Decoder(model) if kernel else None
    plain, drafted = prefilled(model, PROMPT, decoder), prefilled(model, PROMPT, decoder)
    # A correct draft, a wrong one, a correct one, a wrong one.
    drafts = {0: IDS[1:4], 4: [7, 8, 9], 5: IDS[6:7], 6: [5]}
    for number, token in enumerate(IDS):
        expected = drafted.is_drafted(token)
        drafted.accept(token, drafts.get(number, []))
        plain.accept(token)
        assert expected == (number in (1, 2, 3, 6))
        torch.testing.assert_close(drafted.logits, plain.logits, rtol=1e-4, atol=1e-4)


def test_recompute_last_decodes_a_batched_token_alone(model: Transformer) -> None:
    text = prefilled(model, PROMPT)
    text.accept(IDS[0], IDS[1:3])
    text.accept(IDS[1])
    assert text.recompute_last() and not text.recompute_last() and not text.is_drafted(IDS[2])
    drafting = NetworkSequence(model, max_drafted=4)
    assert list(drafting.prefill(PROMPT + IDS + PROMPT[:-1])) == []
    drafting.accept(PROMPT[-1])
    assert drafting.is_drafted(IDS[0]), "the text itself gave no draft"
    assert drafting.recompute_last() and not drafting.recompute_last() and not drafting.is_drafted(IDS[0])
    plain = prefilled(model, PROMPT)
    for token in IDS[:2]:
        plain.accept(token)
    torch.testing.assert_close(text.logits, plain.logits, rtol=1e-5, atol=1e-5)


def test_drafts_do_not_change_the_text(model: Transformer, memory: Memory, mixed_completer: Completer) -> None:
    for prefix in (b"int main_3(", b"in", TEXT.encode()[:200]):
        for temperature in (0.0, 0.8):
            params, texts = SamplingParams(max_tokens=80, temperature=temperature, seed=3), []
            for max_drafted in (0, 1, 4, 16):
                encoded = mixed_completer.encode_prompt(Prompt(prefix=prefix), 80)
                network = NetworkSequence(model, mixed_completer.decoder, max_drafted=max_drafted)
                with MemoryPredictor(memory, network, encoded, max_drafted) as predictor:
                    *_, completion = stream(DecodeState(predictor, TOKENIZER, params))
                texts.append(completion.text)
            assert len(set(texts)) == 1, texts
