"""Node Zero's eyes on a training: the display, the status file, the dev documents, when to save."""

import math
import os
import time
from typing import Any

from cllm.artifacts import write_json
from cllm.machine import cpu_seconds
from cllm.model.config import num_parameters
from cllm.run import Run
from cllm.spheres.telemetry import Telemetry
from cllm.stages.history import HISTORY_SECONDS, History
from cllm.stages.remembering import Remembering
from cllm.stages.session import Session
from cllm.training.budget import Budget
from cllm.training.checkpoint import Checkpointer, Spent
from cllm.training.dev import dev_bits_per_byte
from cllm.training.launch import Workers
from cllm.training.loop import StepReport
from cllm.training.plan import Plan, load_plan, rounds

STATUS_SECONDS = 0.5
DEV_LOOKS = 8  # times that the dev documents are measured during a run
SMOOTHING = 0.9  # of the loss that is shown


class Watch:
    """Told of every step."""

    def __init__(
        self,
        session: Session,
        run: Run,
        workers: Workers,
        remembering: Remembering,
        checkpointer: Checkpointer,
        history: History,
        before: Spent,
        has_dev: bool,
    ) -> None:
        self.checkpointer, self.budget = checkpointer, Budget(before.seconds, remembering.lost_seconds)
        sphere = workers.sphere
        self._session, self._run, self._sphere, self._has_dev = session, run, sphere, has_dev
        self._workers = workers
        self._plan = load_plan(run.plan)
        self._saved_at, self._shown_at, self._kept_at = time.monotonic(), 0.0, -math.inf
        self._telemetry, self._history = Telemetry(sphere), history
        self._before, self._dev_looks = before, len(before.dev_bits_per_byte)
        self._counted_at = time.monotonic()
        self._cpu_before = {pid: cpu_seconds([pid]) for pid in workers.pids}
        self._cpu = dict(self._cpu_before)  # of workers that were replaced, too
        self._loss, self._worker_seconds = 0.0, 0.0
        self._dev_bits_per_byte = list(before.dev_bits_per_byte)
        self._last: StepReport | None = None

    def after(self, step: StepReport) -> None:
        """Take note of a step, and do what is due."""
        computing = self._workers.number * step.num_workers / len(self._sphere.workers)
        self._worker_seconds += (time.monotonic() - self._counted_at) * computing
        self._counted_at = time.monotonic()
        if self._last is not None:  # the first one takes longer
            share = rounds(len(self._sphere.workers)) / rounds(step.num_workers)
            self.budget.record(step.advance, step.seconds * share)
        self._loss = SMOOTHING * self._loss + (1 - SMOOTHING) * step.loss if self._last else step.loss
        self._last = step
        self._look_at_dev(step)
        now = time.monotonic()
        if now - self._shown_at >= STATUS_SECONDS:
            self._shown_at = now
            self._show(step)
        if now - self._saved_at >= self._session.config.checkpoint_seconds:
            self._saved_at = now
            self.checkpointer.save(step.step, self.spent())

    def spent(self) -> Spent:
        """What the run has taken so far."""
        self._cpu |= {pid: cpu_seconds([pid]) for pid in self._workers.pids}
        used = sum(self._cpu.values()) - sum(self._cpu_before.values())
        return Spent(
            seconds=self.budget.used,
            command_seconds=self._session.total_seconds,
            processor_seconds=self._before.processor_seconds + used,
            worker_seconds=self._before.worker_seconds + self._worker_seconds,
            dev_bits_per_byte=tuple(self._dev_bits_per_byte),
        )

    def save_last(self) -> None:
        """Save the state after the last step, and return when it is durable."""
        if self._last is not None:
            self.checkpointer.save(self._last.step, self.spent())
        self.checkpointer.wait()
        if self._last is not None:
            self._show(self._last)

    def account(self, plan: Plan, resumed_from_step: int) -> dict[str, Any]:
        """What the training took, for the scorecard."""
        spent = self.spent()
        return {
            "parameters": num_parameters(plan.model),
            "vocab_size": plan.model.vocab_size,
            "steps": plan.steps,
            "tokens": plan.tokens,
            "tokens_per_second": plan.tokens / spent.seconds,
            "seconds": spent.seconds,
            "command_seconds": spent.command_seconds,
            "resumed_from_step": resumed_from_step,
            "workers": self._workers.number,
            "busy": spent.processor_seconds / spent.worker_seconds,
            "dev_bits_per_byte": spent.dev_bits_per_byte,
        }

    def _look_at_dev(self, step: StepReport) -> None:
        looks = int(step.progress * DEV_LOOKS)
        if self._has_dev and looks > self._dev_looks and step.progress < self._plan.recipe.dev_from:
            self._dev_looks = looks
            context = self._plan.phases[step.phase].context
            self._dev_bits_per_byte.append((step.step, dev_bits_per_byte(self._sphere, context)))

    def _seconds_left(self, step: StepReport) -> float | None:
        """Of the training, if it goes on as it went; of one with a budget, at most what is left of that."""
        left = self.budget.used / step.progress * (1 - step.progress) if step.progress > 0.02 else None
        if self._plan.seconds is None:
            return left
        return min(left or self._plan.seconds, self.budget.left(self._plan))

    def _show(self, step: StepReport) -> None:
        speed = step.tokens / step.seconds
        dev = f"  dev {self._dev_bits_per_byte[-1][1]:.3f} bits/byte" if self._dev_bits_per_byte else ""
        note = f"step {step.step:,}/{step.steps:,}  {speed:,.0f} tokens/s  loss {self._loss:.3f}{dev}"
        self._session.report.update(step.progress, note, self._seconds_left(step))
        run = {
            "step": step.step,
            "steps": step.steps,
            "progress": step.progress,
            "last_checkpoint_step": self.checkpointer.last_step,
            "pid": os.getpid(),
            "loss": self._loss,
            "tokens_per_second": speed,
            "gradient_norm": step.gradient_norm,
            "seconds": self.budget.used,
        }
        tokens_per_position = self._plan.phases[step.phase].tokens_per_position
        sample = self._telemetry.sample(tokens_per_position)
        sample["workers"] = self._workers.look(tokens_per_position) or sample["workers"]
        for why in sample["lost"] + [why for worker in sample["workers"] for why in worker.get("lost", ())]:
            self._session.report.say(f"{why}; another does what it was doing")
        write_json(self._run.status, {"run": run, **sample}, durable=False)
        if self.budget.used - self._kept_at >= HISTORY_SECONDS:
            self._kept_at = self.budget.used
            self._history.add(self.budget.used, run, sample)
