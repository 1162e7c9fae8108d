"""Training, from the plan to the model's directory, with checkpoints on the way."""

from collections.abc import Iterator
from dataclasses import asdict

from cllm.artifacts import sha256_of, verify_directory, write_json
from cllm.corpus import Corpus
from cllm.dataset import Shard
from cllm.errors import ArtifactError, TrainingError
from cllm.interrupt import Interruption
from cllm.machine import Machine
from cllm.model.config import num_parameters
from cllm.model.weights import save_model
from cllm.run import Run
from cllm.spheres import SharedArrays
from cllm.stages.crew import Crew
from cllm.stages.history import History
from cllm.stages.planning import described
from cllm.stages.remembering import Remembering
from cllm.stages.session import Session
from cllm.stages.watch import Watch
from cllm.training.checkpoint import Checkpoint, Checkpointer, Spent, newest_checkpoint, restore
from cllm.training.engine import differences, engine_of
from cllm.training.launch import Workers
from cllm.training.layout import named_arrays, needed_bytes
from cllm.training.loop import StepReport, train
from cllm.training.plan import Plan, load_plan


def learn(session: Session, run: Run, workers: Workers, remembering: Remembering, interruption: Interruption) -> None:
    """Train a planned run to its end, from its newest checkpoint on if it has one; the memory may be reading."""
    if verify_directory(run.dataset).get("tokenizer_sha256") != sha256_of(run.tokenizer):
        raise ArtifactError(f"{run.tokenizer} is not the tokenizer that {run.dataset} was written with")
    corpus, shard = Corpus.open(run.corpus), Shard.open(run.dataset, "train")
    plan = load_plan(run.plan)
    for sentence in described(plan, shard, workers.number):
        session.report.say(sentence)
    check_memory(plan, session.machine)
    dev = [number for number, document in enumerate(corpus.train) if document.split == "dev"]
    shared = workers.join(run.folder, plan, run.plan, dev)
    checkpoint = newest_checkpoint(run.checkpoints, session.report.say)
    begin(session, plan, checkpoint, shared, workers)
    first_step, before = (checkpoint.step, checkpoint.spent) if checkpoint else (0, Spent())
    session.seconds_before = before.command_seconds
    checkpointer = Checkpointer(run.checkpoints, shared, plan, first_step)
    with History(run.history) as history:
        watch = Watch(session, run, workers, remembering, checkpointer, history, before, bool(dev))
        crew = Crew(session, workers.sphere, remembering)
        num_working = crew.num_working if plan.levels == 1 else lambda: len(workers.sphere.workers)
        take = workers.take(session.report.say)
        steps = train(workers.sphere, plan, run.plan, first_step, watch.budget.amend, num_working, take)
        watch_steps(session, steps, watch, interruption)
    workers.end()
    plan = load_plan(run.plan)
    write_json(run.training, watch.account(plan, first_step))
    weights = named_arrays(shared, "weights", plan.model, plan.steps)
    save_model(run.model, plan.model, weights, run.tokenizer, engine=asdict(plan.engine))


def check_memory(plan: Plan, machine: Machine) -> None:
    """TrainingError where the numbers of a run are more than this machine has memory for."""
    needed = needed_bytes(plan.model, plan.engine.dtype, plan.levels)
    if needed > machine.available_bytes:
        raise TrainingError(
            f"a network of {num_parameters(plan.model) / 1e6:,.0f} M parameters takes {needed / 1e9:.1f} GB of memory "
            f"to learn, and {machine.available_bytes / 1e9:.1f} GB are free: make [model] smaller, with --fresh"
        )


def begin(session: Session, plan: Plan, checkpoint: Checkpoint | None, shared: SharedArrays, workers: Workers) -> None:
    """Put the first weights, or those of a checkpoint, into the shared memory."""
    if checkpoint is None:
        workers.sphere.call_one("initialise")
        return
    restore(checkpoint, shared, plan)
    workers.sphere.call_one("round_weights", step=checkpoint.step)
    session.report.say(f"resuming from step {checkpoint.step} of {plan.steps}")
    for sentence in differences(plan.engine, engine_of(session.machine, plan.engine.dtype)):
        session.report.say(f"not bit-exact from here: {sentence}")


def watch_steps(session: Session, steps: Iterator[StepReport], watch: Watch, interruption: Interruption) -> None:
    """Run the steps; when they end, or a signal interrupts them, the last state is saved first."""
    session.report.phase("train")
    interruption.deferred = True
    try:
        for step in steps:
            watch.after(step)
            if interruption.requested is not None:
                break
        watch.save_last()
    finally:
        interruption.deferred = False
    if interruption.requested is not None:
        session.report.say(f"saved at step {watch.checkpointer.last_step}; the same command goes on from there")
    interruption.check()
