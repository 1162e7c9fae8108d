"""The training plan of a run: the configuration file's values, and the time that other work takes."""

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.model.config import TransformerConfig
from cllm.progress import PlainReporter
from cllm.stages.job import Job, TrainOptions
from cllm.stages.plan import apply_config, network_plan, plan_without_budget
from cllm.training.plan import Engine, OptimizerConfig, Phase, Plan, TrainingConfig

PLAN = Plan(
    model=TransformerConfig(
        vocab_size=61, n_layer=2, n_head=2, n_kv_head=2, n_embd=24, head_dim=8, n_inner=40, context_length=32
    ),
    phases=(Phase(context=32, rows=1, until=1.0, steps=4),),
    engine=Engine(dtype="float32", instruction_set="", torch_version="", numba_version=""),
    training=TrainingConfig(dropout=0.1),
)


@pytest.mark.parametrize(
    "training, dropout", [({}, 0.1), ({"warmup": 0.5}, 0.1), ({"dropout": 0}, 0), ({"dropout": 0.05}, 0.05)]
)
def test_configured_values_replace_derived_ones(training: dict[str, Any], dropout: float) -> None:
    plan = apply_config(PLAN, training, OptimizerConfig(lr=0.5))
    assert plan.training.dropout == dropout and plan.optimizer.lr == 0.5
    assert plan.training.warmup == training.get("warmup", TrainingConfig().warmup)


class MeasuringSphere:
    """Two workers whose micro-batches take 10 ms, whatever the network."""

    workers = (0, 1)

    def call_all(self, call: str, arguments: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert call == "measure" and len(arguments) == 2
        return [{"micro_batch_seconds": [0.01] * len(each["shapes"]), "update_seconds": 0.002} for each in arguments]


def planned(tmp_path: Path, reserve_seconds: float, lost_seconds: float, **options: Any) -> Plan:
    job = Job(tmp_path, TrainOptions(workers=2, **options), PlainReporter(io.StringIO()))
    dataset: Any = SimpleNamespace(
        tokenizer=SimpleNamespace(vocab_size=1024), shard=SimpleNamespace(num_tokens=10_000_000)
    )
    sphere: Any = MeasuringSphere()
    return network_plan(job, dataset, sphere, reserve_seconds, lost_seconds)


def test_plan_ends_before_the_reserve(tmp_path: Path) -> None:
    plan = planned(tmp_path, 30.0, 0.0, minutes=2)
    assert plan.seconds == pytest.approx(90.0, abs=1.0)
    assert plan.steps == pytest.approx(90.0 / (6 * 0.01), rel=0.1)  # 12 micro-batches on two workers


def test_lost_seconds_are_in_the_budget_but_not_in_the_steps(tmp_path: Path) -> None:
    """The memory build takes workers' time while the clock runs."""
    whole, part = (planned(tmp_path, 30.0, lost, minutes=2) for lost in (0.0, 45.0))
    assert part.seconds == pytest.approx(whole.seconds, abs=1.0)
    assert part.steps == pytest.approx(whole.steps / 2, rel=0.05)


def test_plan_without_time_left_has_a_step(tmp_path: Path) -> None:
    plan = planned(tmp_path, 1000.0, 0.0, minutes=1)
    assert plan.steps >= 1 and plan.seconds == 1.0


def test_sections_of_the_configuration_that_a_plan_has_are_reported_as_unused(tmp_path: Path) -> None:
    config, log = tmp_path / "c.toml", io.StringIO()
    config.write_text("[training]\ndropout = 0.3\n[run]\ncheckpoint_seconds = 1.0\n")
    job = Job(tmp_path, TrainOptions(config=config), PlainReporter(log))
    dataset: Any = SimpleNamespace(tokenizer=SimpleNamespace(vocab_size=61))
    assert plan_without_budget(job, dataclasses.replace(PLAN, seconds=5.0), dataset) == PLAN
    assert "[training] of --config not used" in log.getvalue() and "[run]" not in log.getvalue()


def test_given_number_of_steps_has_no_budget(tmp_path: Path) -> None:
    plan = planned(tmp_path, 30.0, 45.0, steps=7)
    assert plan.steps == 7 and plan.seconds is None
