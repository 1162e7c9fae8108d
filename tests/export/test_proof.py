"""What counts as the same, with a peer that is our own network and then says something else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from exported import TEXTS, material_of

from cllm.errors import ExportError
from cllm.export import Learned, gather
from cllm.export.material import HARD, Material
from cllm.export.names import Array
from cllm.export.peers import LLAMA, TRANSFORMERS, Peer, Said
from cllm.export.proof import bits_per_byte, compare
from cllm.memory.network import ids_of
from cllm.model.load import build_model
from cllm.model.reading import read
from cllm.model.transformer import Transformer
from cllm.tokenizer import SPECIAL_TOKENS


@pytest.fixture(scope="module")
def network(grouped: Learned) -> Transformer:
    return build_model(grouped.config, grouped.weights, torch.float32)


@pytest.fixture(scope="module")
def material(grouped: Learned) -> Material:
    return material_of(grouped)


@torch.inference_mode()
def write(network: Transformer, prompt: list[int], count: int, is_logits: bool) -> tuple[list[int], Array]:
    """The likeliest tokens, each read with all before it anew, and the rows of all of it."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(network.logits(torch.tensor([ids]))[0, -1].argmax()))
    rows = network.logits(torch.tensor([ids[:-1]]))[0]
    return ids[len(prompt) :], (rows if is_logits else rows.log_softmax(-1)[-count:]).numpy()


def said(network: Transformer, material: Material, peer: Peer) -> Said:
    prompts = [*material.prompts, material.middle]
    answers = [write(network, prompt, material.max_tokens, peer.says_logits) for prompt in prompts]
    return Said(
        version="1",
        ids=[list(ids) for ids in material.ids],
        texts=list(material.texts),
        written=[written for written, _ in answers],
        gap=len(material.middle),
        rows=[rows.copy() for _, rows in answers],
    )


@pytest.mark.parametrize("peer", [TRANSFORMERS, LLAMA], ids=lambda peer: peer.name)
def test_the_same_network_is_the_same(network: Transformer, material: Material, peer: Peer) -> None:
    found = compare(peer, said(network, material, peer), network, material, 1e-4)
    assert found["tokens"] == 5 * material.max_tokens and found["others"] == 0
    assert found["places"] == (found["tokens"] if peer is LLAMA else sum(map(len, said_rows(network, material))))
    assert found["difference"] < 1e-5 and found["given_up"] == 0


def said_rows(network: Transformer, material: Material) -> list[Array]:
    return said(network, material, TRANSFORMERS).rows


def test_one_number_of_all_that_is_off_is_seen(network: Transformer, material: Material) -> None:
    other = said(network, material, LLAMA)
    other.rows[2][3, 17] += np.float32(0.006)
    with pytest.raises(ExportError, match=r"llama.cpp computes other log-probabilities: 0.006 off, 0.005 is allowed"):
        compare(LLAMA, other, network, material, 5e-3)
    assert compare(LLAMA, other, network, material, 7e-3)["difference"] == pytest.approx(6e-3, rel=1e-3)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_seen(network: Transformer, material: Material, number: float) -> None:
    other = said(network, material, TRANSFORMERS)
    other.rows[0][0, 0] = number
    with pytest.raises(ExportError, match="computes other logits"):
        compare(TRANSFORMERS, other, network, material, 1e-4)


def test_places_of_which_nothing_is_said_do_not_count_but_some_must(network: Transformer, material: Material) -> None:
    other = said(network, material, LLAMA)
    other.rows[0][1:] = -np.inf
    found = compare(LLAMA, other, network, material, 1e-4)
    assert found["places"] == 4 * material.max_tokens + 1
    for rows in other.rows:
        rows[:] = -np.inf
    with pytest.raises(ExportError, match="says nothing of how likely words are"):
        compare(LLAMA, other, network, material, 1e-4)


def test_another_word_passes_only_where_ours_holds_it_for_as_good(network: Transformer, material: Material) -> None:
    other = said(network, material, LLAMA)
    order = other.rows[0][-1].argsort()
    given_up = float(other.rows[0][-1][order[-1]] - other.rows[0][-1][order[-2]])
    other.written[0][-1] = int(order[-2])  # the last: no row after it
    found = compare(LLAMA, other, network, material, given_up + 1e-5)
    assert found["others"] == 1 and found["given_up"] == pytest.approx(given_up, abs=1e-6)
    with pytest.raises(ExportError, match="llama.cpp writes another text"):
        compare(LLAMA, other, network, material, given_up - 1e-5)


def test_other_ids_another_text_and_another_gap_are_seen(network: Transformer, material: Material) -> None:
    same = said(network, material, LLAMA)
    ids = [list(each) for each in same.ids]
    ids[1][4] += 1
    with pytest.raises(ExportError, match=r"llama.cpp gives a text of \d+ characters other ids, from id 4 on"):
        compare(LLAMA, replace(same, ids=ids), network, material, 1e-4)
    ids[1] = same.ids[1][:-1]
    with pytest.raises(ExportError, match=f"from id {len(ids[1])} on"):
        compare(LLAMA, replace(same, ids=ids), network, material, 1e-4)
    with pytest.raises(ExportError, match="gives back another text"):
        compare(LLAMA, replace(same, texts=[*same.texts[:-1], "x"]), network, material, 1e-4)
    with pytest.raises(ExportError, match=f"lays out a gap as {same.gap + 1} ids, ours are {same.gap}"):
        compare(LLAMA, replace(same, gap=same.gap + 1), network, material, 1e-4)


def test_bits_per_byte_are_those_of_the_scorecard(grouped: Learned, network: Transformer) -> None:
    ids = ids_of(b"int main(void) { return 1; }\n", grouped.tokenizer)[:30]
    logits = torch.cat(list(read(network, ids, grouped.tokenizer.end_of_text)))
    bits = -logits.log_softmax(-1)[range(len(ids)), ids].sum() / np.log(2)
    lengths = grouped.tokenizer.token_lengths()
    window = [grouped.tokenizer.end_of_text, *ids.tolist()]
    assert bits_per_byte(network, [window], lengths.tolist()) == pytest.approx(
        float(bits / lengths[ids].sum()), rel=1e-5
    )


def test_the_material_is_the_documents_and_what_is_hard(grouped: Learned) -> None:
    material = gather(TEXTS, grouped.tokenizer, 64)
    assert material.texts == [HARD, *(text.decode() for text in TEXTS)]
    assert all(token in HARD for token in SPECIAL_TOKENS)
    assert all(window[0] == grouped.tokenizer.end_of_text and len(window) <= 64 for window in material.windows)
    assert [len(prompt) for prompt in material.prompts] == [1, 6, 24, 48]
    assert gather(TEXTS, grouped.tokenizer, 64) == material
    alone = gather([], grouped.tokenizer, 64)
    assert alone.texts == [HARD] and alone.prompts and alone.middle
