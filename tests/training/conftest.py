"""A run small enough to train in a test: 40 documents, 2 layers of width 32."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from cllm.dataset import write_shard
from cllm.model.config import TransformerConfig
from cllm.model.weights import weights_sha256
from cllm.spheres import ForkServer, SharedArrays
from cllm.tokenizer import Tokenizer
from cllm.training.launch import Workers, worker_environment
from cllm.training.layout import named_arrays
from cllm.training.loop import StepReport, train
from cllm.training.plan import Engine, Phase, Plan, TrainingConfig, save_plan

TEXTS = [
    f"int field_{i}(struct node *node) {{\n  return node->field_{i} + {i};\n}}\n".encode() * (1 + i % 5)
    for i in range(40)
]
DEV = [3, 17]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tokenizer = Tokenizer.train(TEXTS, 320)
    tokenizer.save(folder / "tokenizer.json")
    (folder / "dataset").mkdir()
    documents = map(tokenizer.encode, TEXTS)
    write_shard(folder / "dataset", "train", documents, tokenizer.vocab_size, tokenizer.end_of_text)
    return folder


def plan_of(vocab_size: int) -> Plan:
    """A plan of ten steps: six with rows of 32 tokens, four with rows of 64."""
    config = TransformerConfig(
        vocab_size=vocab_size,
        n_layer=2,
        n_head=2,
        n_kv_head=2,
        n_embd=32,
        head_dim=16,
        n_inner=64,
        context_length=64,
    )
    return Plan(
        model=config,
        phases=(Phase(context=32, rows=2, until=0.6, steps=6), Phase(context=64, rows=1, until=1.0, steps=4)),
        engine=Engine(dtype="bfloat16", instruction_set="any", torch_version="any", numba_version="any"),
        training=TrainingConfig(fim_rate=0.3, dev_from=0.5),
    )


@pytest.fixture(scope="session")
def plan(run: Path) -> Plan:
    return plan_of(Tokenizer.load(run / "tokenizer.json").vocab_size)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer(["cllm.training.worker", "cllm.training.control"], worker_environment()) as started:
        yield started


@pytest.fixture
def train_tiny(
    run: Path, tmp_path: Path, fork_server: ForkServer
) -> Callable[..., tuple[list[StepReport], SharedArrays, str]]:
    """A function that trains a plan with `num_workers` workers: step reports, shared arrays, SHA-256 of the weights.

    `active_counts`: the number of active workers of each step, cyclically; all workers if empty. With `resizes`, the
    sphere is resized to that number instead, so that workers join and leave.
    """

    def train_plan(
        plan: Plan, num_workers: int, active_counts: Sequence[int] = (), resizes: bool = False
    ) -> tuple[list[StepReport], SharedArrays, str]:
        path = tmp_path / f"plan-{num_workers}.json"
        save_plan(plan, path)
        counts = itertools.cycle(active_counts or [None])
        with Workers(num_workers, fork_server, levels=plan.levels) as workers:
            shared = workers.load_run(run, plan, path, DEV)
            workers.sphere.call_one("initialise")

            def num_active() -> int:
                num_workers_of_step = next(counts) or len(workers.sphere.workers)
                if resizes:
                    workers.sphere.resize(num_workers_of_step)
                return num_workers_of_step

            reports = list(train(workers.sphere, plan, path, 0, lambda plan, step: plan, num_active))
            return reports, shared, weights_sha256(named_arrays(shared, "weights", plan.model, plan.steps))

    return train_plan
