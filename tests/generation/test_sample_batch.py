"""Samples decoded in one batch equal samples decoded one by one."""

from dataclasses import replace

import numpy as np
import pytest
from sample_text import TEXT, TOKENIZER, prefilled

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict.network import Network
from cllm.generation.predict.sample_batch import MAX_BATCH_SAMPLES, SampleBatch

SAMPLED = SamplingParams(max_tokens=90, temperature=0.9, seed=5)  # longer than the context: caches evict tokens


@pytest.mark.parametrize("prefix", [b"int main_3(", b"in", TEXT.encode()[:90]])
@pytest.mark.parametrize("stop", [(), ("\n",)])
def test_batched_samples_equal_single_samples(mixed_completer: Completer, prefix: bytes, stop: tuple[str, ...]) -> None:
    completer, params = replace(mixed_completer, memory=None), replace(SAMPLED, stop=stop)
    batch = completer.complete(Prompt(prefix=prefix), params, MAX_BATCH_SAMPLES + 3)
    for number, sample in enumerate(batch):
        (alone,) = completer.complete(Prompt(prefix=prefix), replace(params, seed=5 + number))
        assert (sample.text, sample.tokens, sample.finish_reason) == (alone.text, alone.tokens, alone.finish_reason)
    assert len({sample.text for sample in batch}) > 1


def test_sequences_of_different_lengths_and_rewind_match_single_decoding(network: Network) -> None:
    prompt = TOKENIZER.encode(b"int main_3(void) {")
    sequences = SampleBatch(prefilled(network, prompt), network, 3).sequences
    ids = TOKENIZER.encode(b" return 3; }  // nothing else")
    for count, text in enumerate(sequences):
        for id_ in ids[: 3 + 2 * count]:
            text.accept(id_)
    sequences[2].rewind(4)
    for count, text in zip((3, 5, 4), sequences, strict=True):
        alone = prefilled(network, prompt)
        for id_ in ids[:count]:
            alone.accept(id_)
        np.testing.assert_allclose(text.logits, alone.logits, rtol=1e-3, atol=1e-3)
