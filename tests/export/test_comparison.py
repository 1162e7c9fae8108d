"""Comparison with another runtime: a simulated runtime returns cllm's own output, then a changed one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from exported import TEXTS, verification_set_of

from cllm.errors import ExportError
from cllm.export import TrainedNetwork, build_verification_set
from cllm.export.comparison import bits_per_byte, compare_outputs
from cllm.export.runtimes import LLAMA, TRANSFORMERS, Runtime, RuntimeOutput
from cllm.export.tensor_names import Array
from cllm.export.verification_set import EDGE_CASES, VerificationSet
from cllm.memory.distributions import encode_document
from cllm.model.load import build_model
from cllm.model.logits import document_logits
from cllm.model.transformer import Transformer
from cllm.tokenizer import SPECIAL_TOKENS


@pytest.fixture(scope="module")
def network(grouped: TrainedNetwork) -> Transformer:
    return build_model(grouped.config, grouped.weights, torch.float32)


@pytest.fixture(scope="module")
def verification_set(grouped: TrainedNetwork) -> VerificationSet:
    return verification_set_of(grouped)


@torch.inference_mode()
def generate(network: Transformer, prompt: list[int], count: int, is_logits: bool) -> tuple[list[int], Array]:
    """Greedily generated tokens, without a cache, and the scores that the runtime would return for them."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(network.logits(torch.tensor([ids]))[0, -1].argmax()))
    scores = network.logits(torch.tensor([ids[:-1]]))[0]
    return ids[len(prompt) :], (scores if is_logits else scores.log_softmax(-1)[-count:]).numpy()


def expected_output(network: Transformer, verification_set: VerificationSet, runtime: Runtime) -> RuntimeOutput:
    prompts = [*verification_set.prompts, verification_set.infill_prompt]
    answers = [generate(network, prompt, verification_set.max_tokens, runtime.returns_logits) for prompt in prompts]
    return RuntimeOutput(
        version="1",
        ids=[list(ids) for ids in verification_set.ids],
        texts=list(verification_set.texts),
        generated=[generated for generated, _ in answers],
        num_infill_tokens=len(verification_set.infill_prompt),
        scores=[scores.copy() for _, scores in answers],
    )


@pytest.mark.parametrize("runtime", [TRANSFORMERS, LLAMA], ids=lambda runtime: runtime.name)
def test_equal_output_has_no_differences(
    network: Transformer, verification_set: VerificationSet, runtime: Runtime
) -> None:
    found = compare_outputs(
        runtime, expected_output(network, verification_set, runtime), network, verification_set, 1e-4
    )
    assert found["num_generated_tokens"] == 5 * verification_set.max_tokens and found["num_mismatches"] == 0
    assert found["num_positions"] == (
        found["num_generated_tokens"] if runtime is LLAMA else sum(map(len, expected_scores(network, verification_set)))
    )
    assert found["max_difference"] < 1e-5 and found["max_margin"] == 0


def expected_scores(network: Transformer, verification_set: VerificationSet) -> list[Array]:
    return expected_output(network, verification_set, TRANSFORMERS).scores


def test_single_deviating_score_is_detected(network: Transformer, verification_set: VerificationSet) -> None:
    output = expected_output(network, verification_set, LLAMA)
    output.scores[2][3, 17] += np.float32(0.006)
    with pytest.raises(
        ExportError, match=r"llama.cpp computes other log-probabilities: largest difference 0.006, allowed 0.005"
    ):
        compare_outputs(LLAMA, output, network, verification_set, 5e-3)
    assert compare_outputs(LLAMA, output, network, verification_set, 7e-3)["max_difference"] == pytest.approx(
        6e-3, rel=1e-3
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_score_is_detected(network: Transformer, verification_set: VerificationSet, value: float) -> None:
    output = expected_output(network, verification_set, TRANSFORMERS)
    output.scores[0][0, 0] = value
    with pytest.raises(ExportError, match="computes other logits"):
        compare_outputs(TRANSFORMERS, output, network, verification_set, 1e-4)


def test_missing_scores_are_skipped_unless_all_are_missing(
    network: Transformer, verification_set: VerificationSet
) -> None:
    output = expected_output(network, verification_set, LLAMA)
    output.scores[0][1:] = -np.inf
    found = compare_outputs(LLAMA, output, network, verification_set, 1e-4)
    assert found["num_positions"] == 4 * verification_set.max_tokens + 1
    for scores in output.scores:
        scores[:] = -np.inf
    with pytest.raises(ExportError, match="returned no scores to compare"):
        compare_outputs(LLAMA, output, network, verification_set, 1e-4)


def test_another_token_passes_only_within_the_tolerance_of_the_best(
    network: Transformer, verification_set: VerificationSet
) -> None:
    output = expected_output(network, verification_set, LLAMA)
    order = output.scores[0][-1].argsort()
    margin = float(output.scores[0][-1][order[-1]] - output.scores[0][-1][order[-2]])
    output.generated[0][-1] = int(order[-2])  # the last token: no score depends on it
    found = compare_outputs(LLAMA, output, network, verification_set, margin + 1e-5)
    assert found["num_mismatches"] == 1 and found["max_margin"] == pytest.approx(margin, abs=1e-6)
    with pytest.raises(ExportError, match="llama.cpp generates another text"):
        compare_outputs(LLAMA, output, network, verification_set, margin - 1e-5)


def test_other_ids_text_or_infill_prompt_are_detected(network: Transformer, verification_set: VerificationSet) -> None:
    output = expected_output(network, verification_set, LLAMA)
    ids = [list(each) for each in output.ids]
    ids[1][4] += 1
    with pytest.raises(ExportError, match=r"llama.cpp encodes a text of \d+ characters to other ids, from id 4 on"):
        compare_outputs(LLAMA, replace(output, ids=ids), network, verification_set, 1e-4)
    ids[1] = output.ids[1][:-1]
    with pytest.raises(ExportError, match=f"from id {len(ids[1])} on"):
        compare_outputs(LLAMA, replace(output, ids=ids), network, verification_set, 1e-4)
    with pytest.raises(ExportError, match="decodes the ids of a text to another text"):
        compare_outputs(LLAMA, replace(output, texts=[*output.texts[:-1], "x"]), network, verification_set, 1e-4)
    with pytest.raises(
        ExportError,
        match=f"encodes the infill prompt as {output.num_infill_tokens + 1} ids, cllm as {output.num_infill_tokens}",
    ):
        compare_outputs(
            LLAMA, replace(output, num_infill_tokens=output.num_infill_tokens + 1), network, verification_set, 1e-4
        )


def test_bits_per_byte_equal_the_document_likelihood(grouped: TrainedNetwork, network: Transformer) -> None:
    ids = encode_document(b"int main(void) { return 1; }\n", grouped.tokenizer)[:30]
    logits = torch.cat(list(document_logits(network, ids, grouped.tokenizer.end_of_text)))
    bits = -logits.log_softmax(-1)[range(len(ids)), ids].sum() / np.log(2)
    lengths = grouped.tokenizer.token_lengths()
    window = [grouped.tokenizer.end_of_text, *ids.tolist()]
    assert bits_per_byte(network, [window], lengths.tolist()) == pytest.approx(
        float(bits / lengths[ids].sum()), rel=1e-5
    )


def test_verification_set_contains_documents_and_edge_cases(grouped: TrainedNetwork) -> None:
    verification_set = build_verification_set(TEXTS, grouped.tokenizer, 64)
    assert verification_set.texts == [EDGE_CASES, *(text.decode() for text in TEXTS)]
    assert all(token in EDGE_CASES for token in SPECIAL_TOKENS)
    assert all(window[0] == grouped.tokenizer.end_of_text and len(window) <= 64 for window in verification_set.windows)
    assert [len(prompt) for prompt in verification_set.prompts] == [1, 6, 24, 48]
    assert build_verification_set(TEXTS, grouped.tokenizer, 64) == verification_set
    without_documents = build_verification_set([], grouped.tokenizer, 64)
    assert without_documents.texts == [EDGE_CASES] and without_documents.prompts and without_documents.infill_prompt
