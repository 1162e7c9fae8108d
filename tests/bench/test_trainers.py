"""Trainers of the benchmarks on a tiny dataset: every head and component trains, and time is measured correctly."""

import io
from collections.abc import Iterator

import pytest
from commandline import make_cllm

from cllm.bench.ablation.autograd_trainer import AutogradTrainer
from cllm.bench.ablation.components import COMPONENTS
from cllm.bench.seed.benchmark import epochs_plan_factory, train_and_sample_memory
from cllm.bench.shared.config import BenchmarkConfig
from cllm.bench.shared.dataset import BenchmarkDataset, prepare_dataset
from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.bench.shared.round_robin import TrainingProgress
from cllm.bench.shared.trainer import CllmTrainer
from cllm.bench.shared.trainer_process import TrainerProcess
from cllm.bench.softmax.benchmark import HEAD_NAMES
from cllm.progress import PlainReporter

TINY = NanoGptRecipe(n_layer=1, n_head=2, n_embd=32, context_length=32, batch_size=2, vocab_size=300)
SHAPE = vars(TINY)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkConfig:
    return BenchmarkConfig(root=make_cllm(tmp_path_factory.mktemp("config")).repository, seconds=1.0, recipe=TINY)


@pytest.fixture(scope="module")
def dataset(config: BenchmarkConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchmarkDataset]:
    with config.ingest_corpus() as (corpus, _):
        yield prepare_dataset(corpus, tmp_path_factory.mktemp("dataset") / "m", 300, 0)


def bits_before_and_after(
    process: TrainerProcess, dataset: BenchmarkDataset, **settings: object
) -> tuple[float, float]:
    """Bits of the first held-out document before and after one second of training."""
    process.begin(str(dataset.folder), 1.0, 1, 0, {"recipe": SHAPE, **settings})
    before = process.score(0)
    intermediate = process.train_until(0.4)
    assert 0.4 <= intermediate["seconds"] < 1 and intermediate["tokens"] > 0
    assert process.train_until(0.4) == intermediate, "0.4 s are already used"
    end = process.train_until(5.0)
    assert 1 <= end["seconds"] < 2 and end["tokens"] > intermediate["tokens"], "training stops at the total of 1 s"
    return before, process.score(0)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_training_with_every_head_lowers_the_bits(dataset: BenchmarkDataset, head: str) -> None:
    before, after = bits_before_and_after(AutogradTrainer(), dataset, head=head, component="none")
    assert after < 0.9 * before


@pytest.mark.parametrize("component", COMPONENTS)
def test_training_with_every_component_lowers_the_bits(dataset: BenchmarkDataset, component: str) -> None:
    before, after = bits_before_and_after(AutogradTrainer(), dataset, head="dense", component=component)
    assert after < 0.9 * before


def test_training_of_the_baseline_lowers_the_bits(dataset: BenchmarkDataset) -> None:
    gpt2 = pytest.importorskip("cllm.bench.training.gpt2", exc_type=ImportError)
    before, after = bits_before_and_after(gpt2.Gpt2Trainer(), dataset, compiled=False, dtype="float32")
    assert after < 0.9 * before


@pytest.mark.slow
def test_trainer_clock_stops_between_slices_and_the_plan_completes(
    config: BenchmarkConfig, dataset: BenchmarkDataset
) -> None:
    with CllmTrainer("ours", dataset, 2, epochs_plan_factory(config, dataset, 3)) as ours:
        ours.train_until(0.2)
        seconds, tokens = ours.seconds, ours.tokens
        assert seconds >= 0.2 and not ours.is_done
        point = ours.evaluate()
        assert (ours.seconds, ours.tokens) == (seconds, tokens) == (point.seconds, point.tokens)
        ours.train_until(0.1)
        assert ours.seconds == seconds, "0.1 s are already used"
        train_and_sample_memory(ours, ours.plan.tokens, TrainingProgress(PlainReporter(io.StringIO()), "learn", 1.0))
        assert ours.is_done and ours.tokens == ours.plan.tokens
        assert ours.evaluate().bits_per_byte < point.bits_per_byte
        assert ours.peak_memory_bytes > 1e8
