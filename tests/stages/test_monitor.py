"""The training monitor: status file, dev evaluations, checkpoints, and the time left."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.model.config import TransformerConfig
from cllm.progress import PlainReporter
from cllm.stages import monitor as monitor_module
from cllm.stages.job import Job, TrainOptions
from cllm.stages.monitor import NUM_DEV_EVALUATIONS, TrainingMonitor
from cllm.training.checkpoint import ResourceUsage
from cllm.training.loop import StepReport
from cllm.training.plan import Engine, Phase, Plan, TrainingConfig
from cllm.workspace.run import Run

STEPS = 40


def make_plan(seconds: float | None = None) -> Plan:
    return Plan(
        model=TransformerConfig(
            vocab_size=61, n_layer=2, n_head=2, n_kv_head=2, n_embd=24, head_dim=8, n_inner=40, context_length=32
        ),
        phases=(Phase(context=32, rows=1, until=1.0, steps=STEPS),),
        engine=Engine(dtype="float32", instruction_set="", torch_version="", numba_version=""),
        training=TrainingConfig(dev_from=0.75),
        seconds=seconds,
    )


class Fakes:
    """What a monitor observes, and what it has saved and evaluated."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
        self.saved: list[int] = []
        self.evaluated = 0
        self.samples: list[float] = []
        self.plan, self.run = plan, Run(tmp_path)
        monkeypatch.setattr(monitor_module, "Telemetry", lambda sphere: self)
        monkeypatch.setattr(monitor_module, "dev_bits_per_byte", self.evaluate)
        config = tmp_path / "c.toml"
        config.write_text("[run]\ncheckpoint_seconds = 0.01\n")
        job = Job(tmp_path, TrainOptions(workers=2, config=config), PlainReporter(io.StringIO()))
        workers: Any = SimpleNamespace(
            sphere=SimpleNamespace(workers=[0, 1]), pids=[], num_workers=2, sample_telemetry=lambda tokens: []
        )
        memory_build: Any = SimpleNamespace(lost_seconds=lambda seconds: 0.0)
        history: Any = SimpleNamespace(add=lambda seconds, run, sample: self.samples.append(seconds))
        checkpointer: Any = SimpleNamespace(
            save=lambda step, usage: self.saved.append(step), wait=lambda: None, last_step=0
        )
        self.monitor = TrainingMonitor(
            job=job,
            run=self.run,
            plan=plan,
            workers=workers,
            memory_build=memory_build,
            checkpointer=checkpointer,
            history=history,
            usage_before=ResourceUsage(),
            has_dev=True,
        )

    def sample(self, tokens_per_micro_batch: int) -> dict[str, Any]:
        """In place of `Telemetry.sample`."""
        return {"control": {}, "workers": [], "replacement_reasons": []}

    def evaluate(self, sphere: Any, context: int) -> float:
        self.evaluated += 1
        return 3.0 - self.evaluated / 10

    def step(self, number: int) -> StepReport:
        return StepReport(
            step=number,
            plan=self.plan,
            progress=number / STEPS,
            progress_delta=1 / STEPS,
            phase=0,
            loss=4.0 - number / STEPS,
            gradient_norm=1.0,
            tokens=12 * 32,
            seconds=0.5,
            num_workers=2,
        )


def test_dev_documents_are_evaluated_at_equal_distances_until_they_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = Fakes(tmp_path, monkeypatch, make_plan())
    for number in range(1, STEPS + 1):
        fakes.monitor.on_step(fakes.step(number))
    evaluated = fakes.monitor.training_summary(0)["dev_bits_per_byte"]
    distance = STEPS // NUM_DEV_EVALUATIONS
    assert [step for step, _ in evaluated] == list(range(distance, STEPS * 3 // 4, distance))


def test_status_is_written_and_the_last_state_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = Fakes(tmp_path, monkeypatch, make_plan())
    fakes.monitor.on_step(fakes.step(1))
    fakes.monitor.on_step(fakes.step(2))
    fakes.monitor.save_last()
    status = json.loads(fakes.run.status_path.read_text())
    assert status["run"]["step"] == 2 and status["run"]["steps"] == STEPS
    assert status["run"]["loss"] == pytest.approx(0.9 * fakes.step(1).loss + 0.1 * fakes.step(2).loss)
    assert fakes.saved[-1] == 2 and fakes.samples


def test_summary_has_the_steps_and_tokens_of_the_amended_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = Fakes(tmp_path, monkeypatch, make_plan())
    fakes.plan = fakes.plan.with_amendments([{"step": 10, "remaining": 10}])
    fakes.monitor.on_step(fakes.step(20))
    summary = fakes.monitor.training_summary(5)
    assert summary["steps"] == 20 and summary["tokens"] == 20 * 12 * 32 and summary["resumed_from_step"] == 5


@pytest.mark.parametrize(
    ("used", "number", "seconds", "left"),
    [
        (10.0, 10, None, 30.0),  # a quarter took 10 s
        (10.0, 10, 25.0, 15.0),  # but the budget ends earlier
        (10.0, 10, 100.0, 30.0),
        (1.0, 0, 100.0, 99.0),  # too early for an estimate
    ],
)
def test_time_left_is_estimated_by_progress_and_limited_by_the_budget(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    used: float,
    number: int,
    seconds: float | None,
    left: float,
) -> None:
    fakes = Fakes(tmp_path, monkeypatch, make_plan(seconds))
    monkeypatch.setattr(type(fakes.monitor.budget), "used_seconds", used)
    assert fakes.monitor._seconds_left(fakes.step(number)) == pytest.approx(left)
