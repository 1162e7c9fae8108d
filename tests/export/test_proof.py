"""What counts as the same, with a peer that is our own network and then says something else."""

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
    """The likeliest tokens, each read with all before it anew, and the rows of all of it."""
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
def test_the_same_network_is_the_same(
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


def test_one_number_of_all_that_is_off_is_seen(network: Transformer, verification_set: VerificationSet) -> None:
    other = expected_output(network, verification_set, LLAMA)
    other.scores[2][3, 17] += np.float32(0.006)
    with pytest.raises(
        ExportError, match=r"llama.cpp computes other log-probabilities: largest difference 0.006, allowed 0.005"
    ):
        compare_outputs(LLAMA, other, network, verification_set, 5e-3)
    assert compare_outputs(LLAMA, other, network, verification_set, 7e-3)["max_difference"] == pytest.approx(
        6e-3, rel=1e-3
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_seen(network: Transformer, verification_set: VerificationSet, number: float) -> None:
    other = expected_output(network, verification_set, TRANSFORMERS)
    other.scores[0][0, 0] = number
    with pytest.raises(ExportError, match="computes other logits"):
        compare_outputs(TRANSFORMERS, other, network, verification_set, 1e-4)


def test_places_of_which_nothing_is_said_do_not_count_but_some_must(
    network: Transformer, verification_set: VerificationSet
) -> None:
    other = expected_output(network, verification_set, LLAMA)
    other.scores[0][1:] = -np.inf
    found = compare_outputs(LLAMA, other, network, verification_set, 1e-4)
    assert found["num_positions"] == 4 * verification_set.max_tokens + 1
    for scores in other.scores:
        scores[:] = -np.inf
    with pytest.raises(ExportError, match="returned no scores to compare"):
        compare_outputs(LLAMA, other, network, verification_set, 1e-4)


def test_another_word_passes_only_where_ours_holds_it_for_as_good(
    network: Transformer, verification_set: VerificationSet
) -> None:
    other = expected_output(network, verification_set, LLAMA)
    order = other.scores[0][-1].argsort()
    margin = float(other.scores[0][-1][order[-1]] - other.scores[0][-1][order[-2]])
    other.generated[0][-1] = int(order[-2])  # the last: no row after it
    found = compare_outputs(LLAMA, other, network, verification_set, margin + 1e-5)
    assert found["num_mismatches"] == 1 and found["max_margin"] == pytest.approx(margin, abs=1e-6)
    with pytest.raises(ExportError, match="llama.cpp generates another text"):
        compare_outputs(LLAMA, other, network, verification_set, margin - 1e-5)


def test_other_ids_another_text_and_another_gap_are_seen(
    network: Transformer, verification_set: VerificationSet
) -> None:
    same = expected_output(network, verification_set, LLAMA)
    ids = [list(each) for each in same.ids]
    ids[1][4] += 1
    with pytest.raises(ExportError, match=r"llama.cpp encodes a text of \d+ characters to other ids, from id 4 on"):
        compare_outputs(LLAMA, replace(same, ids=ids), network, verification_set, 1e-4)
    ids[1] = same.ids[1][:-1]
    with pytest.raises(ExportError, match=f"from id {len(ids[1])} on"):
        compare_outputs(LLAMA, replace(same, ids=ids), network, verification_set, 1e-4)
    with pytest.raises(ExportError, match="decodes the ids of a text to another text"):
        compare_outputs(LLAMA, replace(same, texts=[*same.texts[:-1], "x"]), network, verification_set, 1e-4)
    with pytest.raises(
        ExportError,
        match=f"encodes the infill prompt as {same.num_infill_tokens + 1} ids, cllm as {same.num_infill_tokens}",
    ):
        compare_outputs(
            LLAMA, replace(same, num_infill_tokens=same.num_infill_tokens + 1), network, verification_set, 1e-4
        )


def test_bits_per_byte_are_those_of_the_scorecard(grouped: TrainedNetwork, network: Transformer) -> None:
    ids = encode_document(b"int main(void) { return 1; }\n", grouped.tokenizer)[:30]
    logits = torch.cat(list(document_logits(network, ids, grouped.tokenizer.end_of_text)))
    bits = -logits.log_softmax(-1)[range(len(ids)), ids].sum() / np.log(2)
    lengths = grouped.tokenizer.token_lengths()
    window = [grouped.tokenizer.end_of_text, *ids.tolist()]
    assert bits_per_byte(network, [window], lengths.tolist()) == pytest.approx(
        float(bits / lengths[ids].sum()), rel=1e-5
    )


def test_the_material_is_the_documents_and_what_is_hard(grouped: TrainedNetwork) -> None:
    verification_set = build_verification_set(TEXTS, grouped.tokenizer, 64)
    assert verification_set.texts == [EDGE_CASES, *(text.decode() for text in TEXTS)]
    assert all(token in EDGE_CASES for token in SPECIAL_TOKENS)
    assert all(window[0] == grouped.tokenizer.end_of_text and len(window) <= 64 for window in verification_set.windows)
    assert [len(prompt) for prompt in verification_set.prompts] == [1, 6, 24, 48]
    assert build_verification_set(TEXTS, grouped.tokenizer, 64) == verification_set
    alone = build_verification_set([], grouped.tokenizer, 64)
    assert alone.texts == [EDGE_CASES] and alone.prompts and alone.infill_prompt
