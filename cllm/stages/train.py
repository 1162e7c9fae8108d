"""The training stage: from a plan to the model's directory, with checkpoints."""

from collections.abc import Iterator
from dataclasses import asdict

from cllm.artifacts import write_json
from cllm.errors import TrainingError
from cllm.interrupt import InterruptHandler
from cllm.machine import Machine
from cllm.model.config import num_parameters
from cllm.model.weights import save_model
from cllm.spheres import SharedArrays
from cllm.stages.history import History
from cllm.stages.job import Job
from cllm.stages.memory_build import MemoryBuild
from cllm.stages.monitor import TrainingMonitor
from cllm.stages.plan import describe_plan
from cllm.stages.prepare import Dataset
from cllm.stages.trained_model import TrainedModel
from cllm.stages.worker_scaler import WorkerScaler
from cllm.training.checkpoint import Checkpoint, Checkpointer, ResourceUsage, newest_checkpoint, restore
from cllm.training.engine import differences, engine_of
from cllm.training.launch import Workers
from cllm.training.layout import named_arrays, needed_bytes
from cllm.training.loop import StepReport, train
from cllm.training.plan import Plan
from cllm.workspace.run import Run


def train_run(
    job: Job,
    run: Run,
    dataset: Dataset,
    plan: Plan,
    workers: Workers,
    memory_build: MemoryBuild,
    interrupt_handler: InterruptHandler,
) -> TrainedModel:
    """Train a planned run to its end, from its newest checkpoint if there is one; the memory can be built meanwhile."""
    for sentence in describe_plan(plan, dataset.shard.num_tokens, workers.num_workers):
        job.report.log(sentence)
    check_available_memory(plan, workers.num_workers, job.machine)
    dev_documents = [number for number, document in enumerate(dataset.corpus.train) if document.split == "dev"]
    shared = workers.load_run(run.folder, plan, run.plan_path, dev_documents)
    checkpoint = newest_checkpoint(run.checkpoints_path, job.report.log)
    initialise_or_restore(job, plan, checkpoint, shared, workers)
    first_step, usage_before = (checkpoint.step, checkpoint.usage) if checkpoint else (0, ResourceUsage())
    job.seconds_before_resume = usage_before.run_seconds
    checkpointer = Checkpointer(run.checkpoints_path, shared, plan, first_step)
    with History(run.history_path) as history:
        monitor = TrainingMonitor(
            job=job,
            run=run,
            plan=plan,
            workers=workers,
            memory_build=memory_build,
            checkpointer=checkpointer,
            history=history,
            usage_before=usage_before,
            has_dev=bool(dev_documents),
        )
        worker_scaler = WorkerScaler(job, workers.sphere, memory_build)
        num_active = worker_scaler.num_active if plan.levels == 1 else lambda: len(workers.sphere.workers)
        run_step = workers.step_runner(job.report.log)
        steps = train(workers.sphere, plan, run.plan_path, first_step, monitor.budget.amend, num_active, run_step)
        run_steps(job, steps, monitor, interrupt_handler)
    workers.end()
    write_json(run.training_path, monitor.training_summary(first_step))
    weights = named_arrays(shared, "weights", plan.model, monitor.plan.steps)
    digest = save_model(run.model_path, plan.model, weights, run.tokenizer_path, engine=asdict(plan.engine))
    return TrainedModel(dtype=plan.engine.dtype, weights_sha256=digest)


def check_available_memory(plan: Plan, num_workers: int, machine: Machine) -> None:
    """Raise TrainingError if this machine does not have enough memory for a run with `num_workers` workers."""
    needed = needed_bytes(plan.model, plan.engine.dtype, plan.levels, num_workers)
    if needed > machine.available_bytes:
        raise TrainingError(
            f"a network of {num_parameters(plan.model) / 1e6:,.0f} M parameters needs {needed / 1e9:.1f} GB of memory "
            f"to train, and {machine.available_bytes / 1e9:.1f} GB are free: make [model] smaller, with --fresh"
        )


def initialise_or_restore(
    job: Job, plan: Plan, checkpoint: Checkpoint | None, shared: SharedArrays, workers: Workers
) -> None:
    """Initialise the weights in the shared memory, or restore a checkpoint."""
    if checkpoint is None:
        workers.sphere.call_one("initialise")
        return
    restore(checkpoint, shared, plan)
    workers.sphere.call_one("cast_weights", step=checkpoint.step)
    job.report.log(f"resuming from step {checkpoint.step} of {plan.steps}")
    for sentence in differences(plan.engine, engine_of(job.machine, plan.engine.dtype)):
        job.report.log(f"not bit-exact from this step on: {sentence}")


def run_steps(
    job: Job, steps: Iterator[StepReport], monitor: TrainingMonitor, interrupt_handler: InterruptHandler
) -> None:
    """Run the steps; at their end, and at a signal before it is raised, the last state is saved."""
    job.start_phase("train")
    interrupt_handler.deferred = True
    try:
        for step in steps:
            monitor.on_step(step)
            if interrupt_handler.requested is not None:
                break
        monitor.save_last()
    finally:
        interrupt_handler.deferred = False
    if interrupt_handler.requested is not None:
        job.report.log(f"saved at step {monitor.checkpointer.last_step}; run the same command again to resume")
    interrupt_handler.check()
