import json
from pathlib import Path

import numpy as np
import pytest
from reference_search import reference_probabilities
from sample_memory import NEW, RANDOM, random_network, set_mixer_version

from cllm.artifacts import MANIFEST
from cllm.errors import ArtifactError
from cllm.memory.distributions import token_distributions
from cllm.memory.memory import Memory, mark_tokens
from cllm.memory.mixer.state import MIXER_VERSION, TABLES, new_mixer_state
from cllm.memory.mixer.trie import NO_DISTRIBUTIONS, TokenDistributions
from cllm.memory.store import copy_arrays, load_memory, save_memory
from cllm.tokenizer import Tokenizer


@pytest.mark.parametrize(
    "prefix", [b"", b"int field_3(struct", b"int field_3(struct node *node) {\n", b"\xc3\xa9 zz", RANDOM[:200]]
)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_probabilities_of_all_tokens_sum_to_one(memory: Memory, prefix: bytes, seed: int | None) -> None:
    tokens = len(memory.tokenizer.encode(prefix))
    network_probs = NO_DISTRIBUTIONS if seed is None else random_network(memory, seed, tokens + 1)
    probabilities = reference_probabilities(memory, prefix, network_probs)
    assert probabilities.min() > 0
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_random_bytes_cost_about_eight_bits_each(memory: Memory) -> None:
    per_byte = memory.score(RANDOM) / len(RANDOM)
    assert 8 <= per_byte < 8.4


def test_the_buffers_behind_a_text_do_not_change_its_cost(memory: Memory) -> None:
    """The cost of a text does not depend on the content of the memory's buffers after its end."""
    before = memory.score(NEW)
    memory.text[memory.size + len(NEW) + 1 :] = 77
    memory.token_marks[memory.size + len(NEW) + 1 :] = 1
    assert memory.score(NEW) == before


def test_score_is_rolled_back_and_train_on_is_not(memory: Memory) -> None:
    before = memory.score(NEW)
    assert memory.score(NEW) == before
    assert memory.train_on(NEW) == before
    assert memory.score(NEW) < before / 3


def test_the_cost_of_a_text_is_the_sum_of_its_tokens_costs(memory: Memory) -> None:
    """The cost of a text equals that of its tokens by the reference implementation, each after the ones before it."""
    ids = [*memory.tokenizer.encode(NEW[:30])]
    place = {token: number for number, token in enumerate(memory.trie.ids.tolist())}
    bits = 0.0
    for number, token in enumerate(ids):
        prefix = b"".join(memory.tokenizer.token_bytes(before) for before in ids[:number])
        if memory.tokenizer.encode(prefix) != ids[:number]:
            pytest.skip("the prefix alone is tokenized differently")
        bits -= np.log2(reference_probabilities(memory, prefix)[place[token]])
    text = b"".join(map(memory.tokenizer.token_bytes, ids))
    end = reference_probabilities(memory, text)[-1]
    assert bits - np.log2(end) == pytest.approx(memory.score(text), rel=1e-6)


def test_the_mixer_learns_to_use_an_accurate_network(memory: Memory) -> None:
    text = RANDOM[:1000]
    ids = [*memory.tokenizer.encode(text), memory.tokenizer.end_of_text]
    probabilities = np.full((len(ids), memory.tokenizer.vocab_size), 1e-4, np.float32)
    probabilities[np.arange(len(ids)), ids] = 0.96
    network_probs = token_distributions(np.log(probabilities), memory.trie)[0]
    assert memory.score(text, [network_probs]) < memory.score(text) / 2


def test_network_distributions_may_come_in_chunks(memory: Memory) -> None:
    whole = random_network(memory, 3, len(memory.tokenizer.encode(NEW)) + 1)
    ends = [1, 7, 8, len(whole.confidence) - 1, len(whole.confidence)]
    chunks = [
        TokenDistributions(whole.cumulative[a:b], whole.confidence[a:b])
        for a, b in zip([0, *ends[:-1]], ends, strict=True)
    ]
    assert memory.score(NEW, chunks) == pytest.approx(memory.score(NEW, [whole]), rel=1e-12)
    before = memory.size
    with memory.rollback_on_exit(len(NEW)):
        bits = memory.train_on(NEW, [whole])
    with memory.rollback_on_exit(len(NEW)):
        assert memory.train_on(NEW, iter(chunks)) == pytest.approx(bits, rel=1e-12)
    assert memory.size == before


def test_mark_tokens_marks_the_first_byte_of_each_token(tokenizer: Tokenizer) -> None:
    token_marks = mark_tokens(tokenizer, tokenizer.encode(NEW))
    begins = np.flatnonzero(token_marks)
    tokens = [NEW[begin:end] for begin, end in zip(begins, [*begins[1:], len(NEW)], strict=True)]
    assert tokens == [tokenizer.token_bytes(token) for token in tokenizer.encode(NEW)]


def test_rollback_restores_the_whole_state(memory: Memory) -> None:
    before = [array.copy() for array in memory.state]
    with memory.rollback_on_exit(len(RANDOM)):
        memory.train_on(NEW)
        memory.train_on(RANDOM[:20_000])
        assert any(not np.array_equal(one, two) for one, two in zip(before, memory.state, strict=True))
    assert all(np.array_equal(one, two) for one, two in zip(before, memory.state, strict=True))


def test_a_saved_and_loaded_memory_predicts_the_same(memory: Memory, tmp_path: Path) -> None:
    save_memory(memory, tmp_path / "memory")
    loaded = load_memory(tmp_path / "memory", memory.tokenizer)
    assert loaded.score(NEW) == memory.score(NEW)
    assert loaded.size == memory.size
    assert (tmp_path / "memory" / "slots.bin").stat().st_size < memory.state.slots.nbytes / 2


@pytest.mark.parametrize("harm", ["slots", "runs", "arrays", "shape", "other slots", "other runs"])
def test_a_damaged_memory_is_refused_by_name(memory: Memory, tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "memory"
    if harm == "shape":
        memory.state = memory.state._replace(end_probability=np.zeros(5, np.float32))
    save_memory(memory, folder)
    if harm == "slots":
        (folder / "slots.bin").write_bytes(b"12")
    elif harm == "runs":
        (folder / "runs.bin").write_bytes(b"12")
    elif harm == "arrays":
        (folder / "arrays.safetensors").unlink()
    elif harm.startswith("other "):
        manifest, what = json.loads((folder / MANIFEST).read_text()), harm.removeprefix("other ")
        (folder / MANIFEST).write_text(json.dumps({**manifest, what: manifest[what] * 2}))
    with pytest.raises(ArtifactError, match=str(folder)):
        load_memory(folder, memory.tokenizer)


@pytest.mark.parametrize("version", [None, 0, MIXER_VERSION + 1])
def test_a_memory_of_another_mixer_version_is_refused(memory: Memory, tmp_path: Path, version: int | None) -> None:
    save_memory(memory, tmp_path / "memory")
    set_mixer_version(tmp_path / "memory", version)
    message = (
        rf"another version of the mixer \(found {version or 0}, expected {MIXER_VERSION}\): train again with --fresh"
    )
    with pytest.raises(ArtifactError, match=message):
        load_memory(tmp_path / "memory", memory.tokenizer)


def test_a_memory_of_another_tokenizer_is_refused(memory: Memory, tmp_path: Path) -> None:
    for name, tokenizer in (("own", memory.tokenizer), ("other", Tokenizer.train([NEW], 300))):
        tokenizer.save(tmp_path / f"{name}.json")
    own, other = (Tokenizer.load(tmp_path / f"{name}.json") for name in ("own", "other"))
    save_memory(memory, tmp_path / "memory", tokenizer_sha256=own.sha256)
    assert load_memory(tmp_path / "memory", own).score(NEW) == memory.score(NEW)
    with pytest.raises(ArtifactError, match="belongs to another tokenizer: train again with --fresh"):
        load_memory(tmp_path / "memory", other)


@pytest.mark.parametrize("change", ["less", "more"])
def test_arrays_of_other_names_are_refused(change: str) -> None:
    state = new_mixer_state(4, 16)
    arrays = {name: array for name, array in state._asdict().items() if name not in TABLES}
    copy_arrays(state, arrays)
    others = {**arrays, "more": np.zeros(1)} if change == "more" else dict(list(arrays.items())[1:])
    with pytest.raises(ValueError, match="arrays.safetensors holds"):
        copy_arrays(state, others)
