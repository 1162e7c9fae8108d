"""The written-out kernel says what the network says; drafts change when it is asked, not what is said."""

import pytest
import torch
from written import TEXT, TOKENIZER, behind

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.completion import stream
from cllm.generation.decoder import Decoder, halves
from cllm.generation.network import NetworkText
from cllm.generation.predictors import MemoryPredictor
from cllm.generation.walk import Walk
from cllm.memory.memory import Memory
from cllm.model.cache import KVCache
from cllm.model.transformer import Transformer

PROMPT = TOKENIZER.encode(b"int main_3(void) {")
IDS = TOKENIZER.encode(b" return 3; }  // nothing else")


def test_the_kernel_and_its_slow_twin_agree_token_by_token_and_together(model: Transformer) -> None:
    decoder = Decoder(model)
    slow, single, together = (KVCache(model.config, 1, 64, torch.float32) for _ in range(3))
    with torch.inference_mode():
        for cache in (slow, single, together):
            model(torch.tensor([PROMPT]), cache)
        expected = torch.cat([model.logits(torch.tensor([[token]]), slow)[0] for token in IDS])
    singles = torch.cat([torch.from_numpy(decoder.read([token], single)) for token in IDS])
    at_once = torch.from_numpy(decoder.read(IDS, together))
    torch.testing.assert_close(singles, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(at_once, expected, rtol=1e-4, atol=1e-4)
    assert (single.length, single.position) == (together.length, together.position) == (slow.length, slow.position)


def test_weights_are_rounded_to_the_nearest_half() -> None:
    numbers = torch.tensor([1.0, -2.5, 1 + 2**-9, 1 + 3 * 2**-9, 0.0, 3e38])
    wide = torch.from_numpy((halves(numbers).astype("uint32") << 16).view("float32"))
    assert wide.tolist() == numbers.bfloat16().float().tolist()


def test_more_than_there_is_room_for_is_refused(model: Transformer) -> None:
    cache = KVCache(model.config, 1, 4, torch.float32)
    with pytest.raises(AssertionError, match="room"):
        Decoder(model).read([1, 2, 3, 4, 5], cache)


@pytest.mark.parametrize("kernel", [False, True])
def test_a_draft_right_or_wrong_leaves_the_text_as_it_is(model: Transformer, kernel: bool) -> None:
    decoder = Decoder(model) if kernel else None
    plain, drafted = behind(model, PROMPT, decoder), behind(model, PROMPT, decoder)
    drafts = {0: IDS[1:4], 4: [7, 8, 9], 5: IDS[6:7], 6: [5]}  # right, wrong, right, wrong in a row
    for number, token in enumerate(IDS):
        expected = drafted.expects(token)
        drafted.accept(token, drafts.get(number, []))
        plain.accept(token)
        assert expected == (number in (1, 2, 3, 6))
        torch.testing.assert_close(drafted.logits, plain.logits, rtol=1e-4, atol=1e-4)


def test_what_was_read_with_others_can_be_read_alone(model: Transformer) -> None:
    text = behind(model, PROMPT)
    text.accept(IDS[0], IDS[1:3])
    text.accept(IDS[1])
    assert text.alone() and not text.alone() and not text.expects(IDS[2])
    plain = behind(model, PROMPT)
    for token in IDS[:2]:
        plain.accept(token)
    torch.testing.assert_close(text.logits, plain.logits, rtol=1e-5, atol=1e-5)


def test_drafts_do_not_change_what_is_written(model: Transformer, memory: Memory, mixed_writer: Writer) -> None:
    for prefix in (b"int main_3(", b"in", TEXT.encode()[:200]):
        for temperature in (0.0, 0.8):
            params, texts = SamplingParams(max_tokens=80, temperature=temperature, seed=3), []
            for most in (0, 1, 4, 16):
                laid = mixed_writer.lay_out(Prompt(prefix=prefix), 80)
                network = NetworkText(model, mixed_writer.decoder)
                with MemoryPredictor(memory, network, laid, most) as predictor:
                    *_, completion = stream(Walk(predictor, TOKENIZER, params))
                texts.append(completion.text)
            assert len(set(texts)) == 1, texts
