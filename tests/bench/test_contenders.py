"""Contenders on a repository and networks so small that they say nothing."""

import io
from collections.abc import Iterator

import pytest
from commandline import make_cllm

from cllm.bench.components import COMPONENTS
from cllm.bench.contender import Ours
from cllm.bench.contest import Contest
from cllm.bench.headed import Headed
from cllm.bench.material import Material, prepare_material
from cllm.bench.process import Process
from cllm.bench.race import Course
from cllm.bench.recipe import Recipe
from cllm.bench.seed import passes_plan, watched
from cllm.bench.softmax import HEAD_NAMES
from cllm.progress import PlainReporter

TINY = Recipe(n_layer=1, n_head=2, n_embd=32, context=32, batch=2, vocab_size=300)
SHAPE = vars(TINY)


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Contest:
    return Contest(root=make_cllm(tmp_path_factory.mktemp("contest")).repository, seconds=1.0, recipe=TINY)


@pytest.fixture(scope="module")
def material(contest: Contest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Material]:
    with contest.corpus() as (corpus, _):
        yield prepare_material(corpus, tmp_path_factory.mktemp("material") / "m", 300, 0)


def learned_bits(process: Process, material: Material, **settings: object) -> tuple[float, float]:
    """Bits a byte of the first held-out document before and after a second of learning."""
    process.begin(str(material.folder), 1.0, 1, 0, {"recipe": SHAPE, **settings})
    before = process.score(0)
    middle = process.learn(0.4)
    assert 0.4 <= middle["seconds"] < 1 and middle["tokens"] > 0
    assert process.learn(0.4) == middle, "its clock is there already"
    end = process.learn(5.0)
    assert 1 <= end["seconds"] < 2 and end["tokens"] > middle["tokens"], "it has no more than its seconds"
    return before, process.score(0)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_every_head_learns(material: Material, head: str) -> None:
    before, after = learned_bits(Headed(), material, head=head, component="none")
    assert after < 0.9 * before


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_network_with_each_component_learns(material: Material, component: str) -> None:
    before, after = learned_bits(Headed(), material, head="dense", component=component)
    assert after < 0.9 * before


def test_the_peer_learns(material: Material) -> None:
    gpt2 = pytest.importorskip("cllm.bench.gpt2", exc_type=ImportError)
    before, after = learned_bits(gpt2.Gpt2(), material, compiled=False, dtype="float32")
    assert after < 0.9 * before


@pytest.mark.slow
def test_our_clock_stands_still_between_slices_and_the_plan_comes_to_its_end(
    contest: Contest, material: Material
) -> None:
    with Ours("ours", material, 2, passes_plan(contest, material, 3)) as ours:
        ours.learn(0.2)
        seconds, tokens = ours.seconds, ours.tokens
        assert seconds >= 0.2 and not ours.is_done
        point = ours.look()
        assert (ours.seconds, ours.tokens) == (seconds, tokens) == (point.seconds, point.tokens)
        ours.learn(0.1)
        assert ours.seconds == seconds, "its clock is there already"
        watched(ours, ours.plan.tokens, Course(PlainReporter(io.StringIO()), "learn", 1.0))
        assert ours.is_done and ours.tokens == ours.plan.tokens
        assert ours.look().bits_per_byte < point.bits_per_byte
        assert ours.peak_memory_bytes > 1e8
