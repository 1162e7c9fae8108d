"""Monitors a training for Node Zero: progress display, status file, dev loss, and checkpoints."""

import math
import os
import time
from typing import Any

from cllm.artifacts import write_json
from cllm.machine import cpu_seconds
from cllm.model.config import num_parameters
from cllm.spheres.telemetry import Telemetry
from cllm.stages.history import HISTORY_SECONDS, History
from cllm.stages.job import Job
from cllm.stages.memory_build import MemoryBuild
from cllm.training.budget import Budget
from cllm.training.checkpoint import Checkpointer, ResourceUsage
from cllm.training.dev import dev_bits_per_byte
from cllm.training.launch import Workers
from cllm.training.loop import StepReport
from cllm.training.plan import Plan, rounds_per_step
from cllm.workspace.run import Run

STATUS_SECONDS = 0.5
NUM_DEV_EVALUATIONS = 8  # evaluations of the dev documents during a run
SMOOTHING = 0.9  # factor of the exponential moving average of the displayed loss


class TrainingMonitor:
    """Receives the report of every step."""

    def __init__(
        self,
        *,
        job: Job,
        run: Run,
        plan: Plan,
        workers: Workers,
        memory_build: MemoryBuild,
        checkpointer: Checkpointer,
        history: History,
        usage_before: ResourceUsage,
        has_dev: bool,
    ) -> None:
        self.checkpointer, self.budget = checkpointer, Budget(usage_before.seconds, memory_build.lost_seconds)
        sphere = workers.sphere
        self._job, self._run, self._sphere, self._has_dev = job, run, sphere, has_dev
        self._workers = workers
        self.plan = plan  # with the amendments of the last step
        self._saved_at, self._published_at, self._recorded_at = time.monotonic(), 0.0, -math.inf
        self._telemetry, self._history = Telemetry(sphere), history
        self._usage_before, self._num_dev_evaluations = usage_before, len(usage_before.dev_bits_per_byte)
        self._counted_at = time.monotonic()
        self._cpu_before = {pid: cpu_seconds([pid]) for pid in workers.pids}
        self._cpu = dict(self._cpu_before)  # includes replaced workers
        self._loss, self._worker_seconds = 0.0, 0.0
        self._dev_bits_per_byte = list(usage_before.dev_bits_per_byte)
        self._last: StepReport | None = None

    def on_step(self, step: StepReport) -> None:
        """Record a step, and evaluate, publish the status and save if they are due."""
        num_computing = self._workers.num_workers * step.num_workers / len(self._sphere.workers)
        self._worker_seconds += (time.monotonic() - self._counted_at) * num_computing
        self._counted_at = time.monotonic()
        if self._last is not None:  # not the first step, which takes longer
            share = rounds_per_step(len(self._sphere.workers)) / rounds_per_step(step.num_workers)
            self.budget.record(step.progress_delta, step.seconds * share)
        self.plan = step.plan
        self._loss = SMOOTHING * self._loss + (1 - SMOOTHING) * step.loss if self._last else step.loss
        self._last = step
        self._evaluate_dev(step)
        now = time.monotonic()
        if now - self._published_at >= STATUS_SECONDS:
            self._published_at = now
            self._publish_status(step)
        if now - self._saved_at >= self._job.config.checkpoint_seconds:
            self._saved_at = now
            self.checkpointer.save(step.step, self.usage())

    def usage(self) -> ResourceUsage:
        """The resources that the run has used so far."""
        self._cpu |= {pid: cpu_seconds([pid]) for pid in self._workers.pids}
        used = sum(self._cpu.values()) - sum(self._cpu_before.values())
        return ResourceUsage(
            seconds=self.budget.used_seconds,
            run_seconds=self._job.total_seconds,
            cpu_seconds=self._usage_before.cpu_seconds + used,
            worker_seconds=self._usage_before.worker_seconds + self._worker_seconds,
            dev_bits_per_byte=tuple(self._dev_bits_per_byte),
        )

    def save_last(self) -> None:
        """Save the state after the last step, and wait until it is on disk."""
        if self._last is not None:
            self.checkpointer.save(self._last.step, self.usage())
        self.checkpointer.wait()
        if self._last is not None:
            self._publish_status(self._last)

    def training_summary(self, resumed_from_step: int) -> dict[str, Any]:
        """The size, speed and cost of the training, for the scorecard."""
        plan, usage = self.plan, self.usage()
        return {
            "parameters": num_parameters(plan.model),
            "vocab_size": plan.model.vocab_size,
            "steps": plan.steps,
            "tokens": plan.tokens,
            "tokens_per_second": plan.tokens / usage.seconds,
            "seconds": usage.seconds,
            "run_seconds": usage.run_seconds,
            "resumed_from_step": resumed_from_step,
            "workers": self._workers.num_workers,
            "worker_utilisation": usage.cpu_seconds / usage.worker_seconds,
            "dev_bits_per_byte": usage.dev_bits_per_byte,
        }

    def _evaluate_dev(self, step: StepReport) -> None:
        num_due = int(step.progress * NUM_DEV_EVALUATIONS)
        if self._has_dev and num_due > self._num_dev_evaluations and step.progress < self.plan.training.dev_from:
            self._num_dev_evaluations = num_due
            context = self.plan.phases[step.phase].context
            self._dev_bits_per_byte.append((step.step, dev_bits_per_byte(self._sphere, context)))

    def _seconds_left(self, step: StepReport) -> float | None:
        """Estimated seconds left of the training at its mean speed, limited by the rest of its budget."""
        left = self.budget.used_seconds / step.progress * (1 - step.progress) if step.progress > 0.02 else None
        if self.plan.seconds is None:
            return left
        return min(left or self.plan.seconds, self.budget.seconds_left(self.plan))

    def _publish_status(self, step: StepReport) -> None:
        tokens_per_second = step.tokens / step.seconds
        dev = f"  dev {self._dev_bits_per_byte[-1][1]:.3f} bits/byte" if self._dev_bits_per_byte else ""
        note = f"step {step.step:,}/{step.plan.steps:,}  {tokens_per_second:,.0f} tokens/s  loss {self._loss:.3f}{dev}"
        self._job.report.update(step.progress, note, self._seconds_left(step))
        run = {
            "step": step.step,
            "steps": step.plan.steps,
            "progress": step.progress,
            "last_checkpoint_step": self.checkpointer.last_step,
            "pid": os.getpid(),
            "loss": self._loss,
            "tokens_per_second": tokens_per_second,
            "gradient_norm": step.gradient_norm,
            "seconds": self.budget.used_seconds,
        }
        tokens_per_micro_batch = self.plan.phases[step.phase].tokens_per_micro_batch
        sample = self._telemetry.sample(tokens_per_micro_batch)
        sample["workers"] = self._workers.sample_telemetry(tokens_per_micro_batch) or sample["workers"]
        for reason in sample["replacement_reasons"] + [
            reason for worker in sample["workers"] for reason in worker.get("replacement_reasons", ())
        ]:
            self._job.report.log(f"{reason}; its tasks were given to a new worker")
        write_json(self._run.status_path, {"run": run, **sample}, durable=False)
        if self.budget.used_seconds - self._recorded_at >= HISTORY_SECONDS:
            self._recorded_at = self.budget.used_seconds
            self._history.add(self.budget.used_seconds, run, sample)
