"""Samples that are read together are those that would be written one after another."""

from dataclasses import replace

import pytest
import torch
from written import TEXT, TOKENIZER, behind

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.decoder import Decoder
from cllm.generation.together import MOST_TOGETHER, Together
from cllm.model.transformer import Transformer

DRAWN = SamplingParams(max_tokens=90, temperature=0.9, seed=5)  # longer than the context: caches forget


@pytest.mark.parametrize("prefix", [b"int main_3(", b"in", TEXT.encode()[:90]])
@pytest.mark.parametrize("stop", [(), ("\n",)])
def test_samples_are_those_that_are_written_alone(mixed_writer: Writer, prefix: bytes, stop: tuple[str, ...]) -> None:
    writer, params = replace(mixed_writer, memory=None), replace(DRAWN, stop=stop)
    together = writer.complete(Prompt(prefix=prefix), params, MOST_TOGETHER + 3)
    for number, sample in enumerate(together):
        (alone,) = writer.complete(Prompt(prefix=prefix), replace(params, seed=5 + number))
        assert (sample.text, sample.tokens, sample.finish_reason) == (alone.text, alone.tokens, alone.finish_reason)
    assert len({sample.text for sample in together}) > 1


def test_texts_of_different_lengths_and_ways_back(model: Transformer) -> None:
    prompt, decoder = TOKENIZER.encode(b"int main_3(void) {"), Decoder(model)
    network = behind(model, prompt, decoder)
    texts = Together(network, decoder, 3).texts
    ids = TOKENIZER.encode(b" return 3; }  // nothing else")
    for count, text in enumerate(texts):
        for id_ in ids[: 3 + 2 * count]:
            text.accept(id_)
    texts[2].back_to(4)
    for count, text in zip((3, 5, 4), texts, strict=True):
        alone = behind(model, prompt, decoder)
        for id_ in ids[:count]:
            alone.accept(id_)
        torch.testing.assert_close(text.logits, alone.logits, rtol=1e-3, atol=1e-3)
