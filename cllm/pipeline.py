"""The order of the stages: the only module that knows it.

    scan -> tokenizer -> dataset -> plan -> train -> model -> scorecard -> publish

Each stage leaves its files in the run's folder (`cllm.run`), written atomically, and the next begins from them. So an
interrupted run goes on with the first stage whose files are not there. The process that runs this is Node Zero: it
computes no batch and never imports PyTorch.
"""

import dataclasses
import importlib.metadata
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cllm import __version__
from cllm.artifacts import read_json, sweep, verify_directory, write_directory, write_json
from cllm.config import Settings, load_settings, override
from cllm.corpus import Corpus, CorpusConfig, ingest
from cllm.dataset import Shard, write_shard
from cllm.errors import ArtifactError, UsageError
from cllm.evaluation.scorecard import (
    Subject,
    complete_prompts,
    held_out_figures,
    launch_scorers,
    main_language,
    score_files,
)
from cllm.interrupt import Interruption
from cllm.machine import MemorySampler, default_dtype, describe
from cllm.model.config import TransformerConfig, parameter_shapes
from cllm.model.weights import save_model
from cllm.progress import Reporter
from cllm.run import Run, current_run, existing_directory
from cllm.spheres import MAX_WORKERS, Sphere
from cllm.tokenizer import Tokenizer
from cllm.training.budget import Budget
from cllm.training.checkpoint import Checkpointer, newest_checkpoint, restore
from cllm.training.choose import Speed, Task, make_plan, vocab_size_for
from cllm.training.dev import dev_bits_per_byte
from cllm.training.launch import Workers, worker_environment
from cllm.training.layout import named_arrays
from cllm.training.loop import StepReport, train
from cllm.training.plan import Engine, OptimizerConfig, Plan, load_plan, save_plan
from cllm.workspace import Workspace

CHECKPOINT_SECONDS = 30.0
STATUS_SECONDS = 0.5
TOKENIZER_SAMPLE_BYTES = 32_000_000  # of text, from which the merges are learned
NAMED_SHARE = 2  # one document in this many is learned with the line that names its path
# The scorecard's share of a budget, from its parts on a 2-core machine: processes start in 4 s, the prompts take 4 s,
# a worker reads 9,000 held-out tokens/s (2026-11-24, the 4.5 million parameter network).
SCORECARD_SECONDS = 8.0
SCORED_TOKENS_PER_SECOND = 9_000
SCORECARD_SHARE = 0.2  # of the budget at most: beyond that, a sample of the held-out files is scored
COMPILE_SECONDS = 1_200.0  # of training, from which on a cold compilation (80 s) pays: it gains 15% (docs/LOG.md)
DEV_LOOKS = 8  # times that the dev documents are measured during a run

SECTIONS: dict[str, Any] = {
    "corpus": [field.name for field in dataclasses.fields(CorpusConfig)],
    "tokenizer": ["vocab_size"],
    "model": [field.name for field in dataclasses.fields(TransformerConfig) if field.name != "vocab_size"],
    "training": ["warmup", "cooldown", "floor", "dropout", "fim_rate", "dev_from", "dtype", "compiled"],
    "optimizer": [field.name for field in dataclasses.fields(OptimizerConfig)],
}


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What the user may say about a run; everything else is derived."""

    minutes: float = 5.0
    steps: int | None = None
    plan: Path | None = None
    workers: int | None = None
    seed: int = 0
    config: Path | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= 7 * 24 * 60:
            raise UsageError(f"--minutes {self.minutes:g} is not between 0 and {7 * 24 * 60} (a week)")
        if self.steps is not None and not 1 <= self.steps <= 10_000_000:
            raise UsageError(f"--steps {self.steps} is not between 1 and 10,000,000")
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            raise UsageError(f"--workers {self.workers} is not between 1 and {MAX_WORKERS}, the spheres that touch one")
        if not 0 <= self.seed < 1 << 31:
            raise UsageError(f"--seed {self.seed} is not between 0 and {(1 << 31) - 1}")


class Session:
    """One `cllm train`, from its first second to its scorecard."""

    def __init__(self, workspace: Workspace, options: TrainOptions, report: Reporter) -> None:
        self.began = time.monotonic()
        self.workspace, self.options, self.report = workspace, options, report
        self.machine = describe()
        self.num_workers = options.workers or min(self.machine.cores, MAX_WORKERS)
        self.settings: Settings = load_settings(options.config, SECTIONS) if options.config else {}
        self.resumed_from_step = 0

    @property
    def seconds_left(self) -> float:
        """Of the whole budget."""
        return self.options.minutes * 60 - (time.monotonic() - self.began)

    def run(self, interruption: Interruption, memory: MemorySampler) -> dict[str, Any]:
        """The scorecard of a new run, or of the one that was interrupted."""
        run = self.choose_run()
        environment = worker_environment(self.workspace.compile_cache)
        if not model_is_finished(run):
            with Workers(self.num_workers, environment) as workers:
                corpus, tokenizer = self.prepare(run)
                self.learn(run, corpus, tokenizer, workers, interruption)
        scores = self.evaluate(run, Corpus.open(run.corpus), environment)
        card = {**scores, **self.accounts(run, memory)}
        write_json(run.scorecard, card)
        self.workspace.publish(run.folder)
        write_json(self.workspace.scorecard, card)
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        return card

    def choose_run(self) -> Run:
        """The unfinished run, unless everything is to be fresh; else a new one."""
        unfinished = self.workspace.unfinished()
        if unfinished is not None and (self.options.fresh or not Run(unfinished).plan.exists()):
            shutil.rmtree(unfinished)
            unfinished = None
        if unfinished is None:
            return Run(self.workspace.new_run())
        return Run(unfinished)

    def prepare(self, run: Run) -> tuple[Corpus, Tokenizer]:
        """Corpus, tokenizer and dataset of a run, made now or as an interrupted run left them."""
        if run.plan.exists():
            verify_directory(run.dataset)
            return Corpus.open(run.corpus), Tokenizer.load(run.tokenizer)
        self.report.phase("scan")
        config = override(CorpusConfig(), self.settings.get("corpus", {}), "corpus")
        corpus = ingest(self.workspace.root, run.corpus, config)
        learned = sum(document.bytes for document in corpus.train)
        held_out = sum(document.bytes for document in corpus.val)
        self.report.say(
            f"{len(corpus.train)} files, {learned / 1e6:.2f} MB to learn; {len(corpus.val)} files, "
            f"{held_out / 1e6:.2f} MB held out"
        )
        for sentence in warnings_about(corpus):
            self.report.say(sentence)
        self.report.phase("tokenizer")
        vocab_size = self.settings.get("tokenizer", {}).get("vocab_size") or vocab_size_for(learned)
        tokenizer = Tokenizer.learn(sampled_texts(corpus, self.options.seed), vocab_size)
        tokenizer.save(run.tokenizer)
        self.report.phase("dataset")
        write_directory(run.dataset, lambda folder: write_dataset(folder, corpus, tokenizer), kind="dataset")
        return corpus, tokenizer

    def learn(
        self, run: Run, corpus: Corpus, tokenizer: Tokenizer, workers: Workers, interruption: Interruption
    ) -> None:
        """Plan, train, and leave the model's directory."""
        shard = Shard.open(run.dataset, "train")
        if not run.plan.exists():
            self.report.phase("plan")
            save_plan(self.make_plan(corpus, tokenizer, shard, workers.sphere), run.plan)
        plan = load_plan(run.plan)
        self.describe_plan(plan, shard)
        dev = [number for number, document in enumerate(corpus.train) if document.split == "dev"]
        shared = workers.join(run.folder, plan, run.plan, dev)
        checkpoint = newest_checkpoint(run.checkpoints, self.report.say)
        if checkpoint is None:
            workers.sphere.call_one("initialise")
        else:
            restore(checkpoint, shared, plan.model)
            workers.sphere.call_one("round_weights")
            self.resumed_from_step = checkpoint.step
            self.report.say(f"resuming from step {checkpoint.step} of {plan.steps}")
            for sentence in differences(plan.engine, self.engine(plan.engine.compiled, plan.engine.dtype)):
                self.report.say(f"not bit-exact from here: {sentence}")
        budget = Budget(checkpoint.seconds if checkpoint else 0.0)
        checkpointer = Checkpointer(run.checkpoints, shared, plan.model)
        checkpointer.last_step = self.resumed_from_step
        self.report.phase("train")
        watch = TrainWatch(self, run, workers.sphere, checkpointer, budget, has_dev=bool(dev))
        interruption.deferred = True
        try:
            for step in train(workers.sphere, plan, run.plan, self.resumed_from_step, budget.amend):
                watch.after(step)
                if interruption.requested is not None:
                    break
                if watch.checkpoint_is_due:
                    watch.save(step.step)
            if watch.last is not None:
                watch.save(watch.last.step)
            checkpointer.wait()
        finally:
            interruption.deferred = False
        if interruption.requested is not None:
            self.report.say(f"saved at step {checkpointer.last_step}; the same command goes on from there")
        interruption.check()
        plan = load_plan(run.plan)
        write_json(run.training, self.training_account(plan, tokenizer, budget.used, watch))
        weights = named_arrays(shared, "weights", plan.model)
        save_model(run.model, plan.model, weights, run.tokenizer, dtype=plan.engine.dtype)

    def make_plan(self, corpus: Corpus, tokenizer: Tokenizer, shard: Shard, sphere: Sphere) -> Plan:
        """The plan of a new run: the saved one that was asked for, or one for this machine and this corpus."""
        if self.options.plan is not None:
            plan = load_plan(self.options.plan)
            if plan.model.vocab_size != tokenizer.vocab_size:
                raise UsageError(
                    f"{self.options.plan} is for a vocabulary of {plan.model.vocab_size}, this repository's has "
                    f"{tokenizer.vocab_size}: a plan belongs to the repository it was made for"
                )
            return plan
        training = self.settings.get("training", {})
        reserve = min(
            SCORECARD_SHARE * self.options.minutes * 60,
            SCORECARD_SECONDS + sum(d.bytes for d in corpus.val) / 3 / (SCORED_TOKENS_PER_SECOND * len(sphere.workers)),
        )
        seconds = None if self.options.steps is not None else max(1.0, self.seconds_left - reserve)
        engine = self.engine(
            compiled=bool(training.get("compiled", seconds is not None and seconds > COMPILE_SECONDS)),
            dtype=str(training.get("dtype", default_dtype(self.machine))),
        )
        task = Task(
            vocab_size=tokenizer.vocab_size,
            tokens=shard.num_tokens,
            engine=engine,
            num_workers=len(sphere.workers),
            seconds=seconds,
            steps=self.options.steps,
            seed=self.options.seed,
        )
        plan = make_plan(task, lambda model, shapes: slowest(sphere, model, engine.dtype, shapes), None)
        if "model" in self.settings:
            model = override(plan.model, self.settings["model"], "model")
            plan = make_plan(task, lambda model, shapes: slowest(sphere, model, engine.dtype, shapes), model)
        scalars = {key: value for key, value in training.items() if key not in ("dtype", "compiled")}
        optimizer = override(plan.optimizer, self.settings.get("optimizer", {}), "optimizer")
        plan = dataclasses.replace(override(plan, scalars, "training"), optimizer=optimizer)
        if seconds is not None:  # what measuring took is gone
            plan = dataclasses.replace(plan, seconds=max(1.0, self.seconds_left - reserve))
        return plan

    def engine(self, compiled: bool, dtype: str) -> Engine:
        """What computes here."""
        found = sorted(self.machine.features or ())
        return Engine(
            dtype=dtype,
            instruction_set=" ".join(name for name in found if name.startswith(("avx", "amx", "asimd", "bf16"))),
            compiled=compiled and self.machine.compiler is not None and self.machine.python_headers,
            torch_version=importlib.metadata.version("torch"),
        )

    def describe_plan(self, plan: Plan, shard: Shard) -> None:
        """Say what is going to be done."""
        phases = ", ".join(f"{phase.steps} steps of 12 x {phase.rows * phase.context} tokens" for phase in plan.phases)
        parameters = sum(int(np.prod(shape)) for shape in parameter_shapes(plan.model).values())
        self.report.say(
            f"network: {plan.model.n_layer} layers, {plan.model.n_embd} wide, vocabulary {plan.model.vocab_size}, "
            f"{parameters / 1e6:.2f} M parameters, {plan.engine.dtype}, "
            f"{'compiled' if plan.engine.compiled else 'eager'}"
        )
        time_text = f", {plan.seconds:.0f} s" if plan.seconds else ""
        self.report.say(
            f"plan: {phases}: {plan.tokens / shard.num_tokens:.1f} passes{time_text}, {self.num_workers} workers"
        )

    def training_account(self, plan: Plan, tokenizer: Tokenizer, seconds: float, watch: "TrainWatch") -> dict[str, Any]:
        """What the training took, for the scorecard."""
        return {
            "parameters": sum(int(np.prod(shape)) for shape in parameter_shapes(plan.model).values()),
            "vocab_size": tokenizer.vocab_size,
            "steps": plan.steps,
            "tokens": plan.tokens,
            "tokens_per_second": plan.tokens / seconds,
            "seconds": seconds,
            "resumed_from_step": self.resumed_from_step,
            "workers": self.num_workers,
            "busy": watch.busy,
            "dev_bits_per_byte": watch.dev_bits_per_byte,
        }

    def evaluate(self, run: Run, corpus: Corpus, environment: dict[str, str]) -> dict[str, Any]:
        """The figures of a finished model on this machine."""
        self.report.phase("scorecard")
        manifest = verify_directory(run.model)
        subject = Subject(model=run.model, dtype=manifest["dtype"], corpus=run.corpus)
        seconds = max(SCORECARD_SHARE * self.options.minutes * 60, self.seconds_left)
        with launch_scorers(self.num_workers, environment) as sphere:
            results = score_files(sphere, subject, corpus, seconds, self.options.seed)
            language = main_language(corpus)
            syntax = complete_prompts(sphere, subject, language) if language else {}
        return {
            **held_out_figures(results, corpus.val),
            "language": language,
            "syntax": syntax,
            "weights_sha256": manifest["weights_sha256"],
        }

    def accounts(self, run: Run, memory: MemorySampler) -> dict[str, Any]:
        """What it took, on what."""
        memory.sample()
        machine = dataclasses.asdict(self.machine)
        return {
            "train": read_json(run.training),
            "seconds": {"total": time.monotonic() - self.began},
            "peak_memory_bytes": memory.peak_bytes,
            "machine": {**machine, "features": sorted(machine["features"] or ())},
            "versions": versions(),
        }


def learn_repository(root: Path, options: TrainOptions, report: Reporter) -> dict[str, Any]:
    """Learn the repository at `root`, or go on with the run that was interrupted there; its scorecard.

    Where a run is finished and nothing is to be fresh, that run's scorecard, and what changed since.
    """
    workspace = Workspace(existing_directory(root))
    with Interruption() as interruption, MemorySampler() as memory, workspace.lock():
        for folder in (workspace.folder, workspace.runs, *workspace.runs.glob("*")):
            sweep(folder)
        if not options.fresh and workspace.unfinished() is None and (current := workspace.current()) is not None:
            return finished(workspace, Run(current), report)
        return Session(workspace, options, report).run(interruption, memory)


def finished(workspace: Workspace, run: Run, report: Reporter) -> dict[str, Any]:
    """Say that the run is finished and how the repository differs from what it learned; its scorecard."""
    card: dict[str, Any] = read_json(run.scorecard)
    with tempfile.TemporaryDirectory(dir=workspace.folder, prefix=".tmp-") as scratch:
        changed = changes(Corpus.open(run.corpus), ingest(workspace.root, Path(scratch) / "corpus", CorpusConfig()))
    counts = ", ".join(f"{len(paths)} {kind}" for kind, paths in changed.items())
    report.say(f"already learned (run {run.folder.name}); files since then: {counts}; --fresh learns anew")
    return {**card, "changed_since": changed}


def changes(before: Corpus, now: Corpus) -> dict[str, list[str]]:
    """Paths of documents that came, went, or have another text."""
    old = {document.path: document.sha256 for document in before.documents}
    new = {document.path: document.sha256 for document in now.documents}
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "modified": sorted(path for path in new.keys() & old.keys() if new[path] != old[path]),
    }


def evaluate_again(root: Path, report: Reporter) -> dict[str, Any]:
    """Score the current model anew, write the scorecard, and give it."""
    workspace = Workspace(existing_directory(root))
    run = current_run(workspace)
    with Interruption(), workspace.lock():
        session = Session(workspace, TrainOptions(), report)
        environment = worker_environment(workspace.compile_cache)
        card = {**read_json(run.scorecard), **session.evaluate(run, Corpus.open(run.corpus), environment)}
        write_json(run.scorecard, card)
        write_json(workspace.scorecard, card)
    return card


class TrainWatch:
    """Node Zero's eyes on a training: the display, the status file, the dev documents, when to save."""

    def __init__(
        self, session: Session, run: Run, sphere: Sphere, checkpointer: Checkpointer, budget: Budget, has_dev: bool
    ) -> None:
        self._session, self._run, self._sphere = session, run, sphere
        self._checkpointer, self._budget, self._has_dev = checkpointer, budget, has_dev
        self._plan = load_plan(run.plan)
        self._saved = time.monotonic()
        self._status_at = 0.0
        self._looks = 0
        self._busy_seconds = self._seconds = 0.0
        self._progress_before: float | None = None
        self._loss = 0.0
        self.dev_bits_per_byte: list[list[float]] = []  # [step, bits per byte]
        self.last: StepReport | None = None

    @property
    def busy(self) -> float:
        """Share of the workers' time spent computing positions."""
        return self._busy_seconds / self._seconds if self._seconds else 0.0

    @property
    def checkpoint_is_due(self) -> bool:
        return time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def save(self, step: int) -> None:
        """Begin to write a checkpoint."""
        self._checkpointer.save(step, self._budget.used)
        self._saved = time.monotonic()

    def after(self, step: StepReport) -> None:
        """Take note of a step."""
        if self._progress_before is not None:
            self._budget.record(step.progress - self._progress_before, step.seconds)
        self._progress_before = step.progress
        self._loss = step.loss if self.last is None else 0.9 * self._loss + 0.1 * step.loss
        self.last = step
        self._busy_seconds += step.busy * step.seconds
        self._seconds += step.seconds
        if self._has_dev and int(step.progress * DEV_LOOKS) > self._looks and step.progress < self._plan.dev_from:
            self._looks = int(step.progress * DEV_LOOKS)
            context = self._plan.phases[step.phase].context
            self.dev_bits_per_byte.append([step.step, dev_bits_per_byte(self._sphere, context)])
        if time.monotonic() - self._status_at >= STATUS_SECONDS:
            self._status_at = time.monotonic()
            self._show(step)

    def _show(self, step: StepReport) -> None:
        dev = f"  dev {self.dev_bits_per_byte[-1][1]:.3f} bits/byte" if self.dev_bits_per_byte else ""
        note = f"step {step.step}/{step.steps}  {step.tokens / step.seconds:,.0f} tokens/s  loss {self._loss:.3f}{dev}"
        used = self._budget.used
        left = used / step.progress * (1 - step.progress) if step.progress > 0.02 else None
        self._session.report.update(step.progress, note, left)
        write_json(
            self._run.status,
            {
                "run": {
                    "step": step.step,
                    "steps": step.steps,
                    "last_checkpoint_step": self._checkpointer.last_step,
                    "pid": os.getpid(),
                    "loss": self._loss,
                    "tokens_per_second": step.tokens / step.seconds,
                    "gradient_norm": step.gradient_norm,
                },
                "workers": [{"pid": pid} for pid in self._sphere.pids],
            },
            durable=False,
        )


def slowest(sphere: Sphere, model: TransformerConfig, dtype: str, shapes: list[tuple[int, int]]) -> Speed:
    """The workers' speed at a shape, all measuring at once: the mean over them."""
    arguments = {"model": dataclasses.asdict(model), "dtype": dtype, "shapes": shapes}
    found = sphere.call_all("measure", [arguments] * len(sphere.workers))
    positions = np.mean([speed["positions"] for speed in found], 0)
    return Speed(positions=tuple(positions.tolist()), update=float(np.mean([speed["update"] for speed in found])))


def sampled_texts(corpus: Corpus, seed: int) -> Iterator[bytes]:
    """Learned texts in a drawn order, up to what the tokenizer learns from."""
    documents = corpus.train
    size = 0
    for number in np.random.default_rng(seed).permutation(len(documents)).tolist():
        if size > TOKENIZER_SAMPLE_BYTES:
            return
        size += documents[number].bytes
        yield corpus.text(documents[number])


def write_dataset(folder: Path, corpus: Corpus, tokenizer: Tokenizer) -> None:
    """The learned documents as ids; every second one begins with the line that names its path."""

    def ids() -> Iterator[list[int]]:
        for document in corpus.train:
            text = tokenizer.encode(corpus.text(document))
            if int(document.sha256, 16) % NAMED_SHARE == 0:
                path = tokenizer.encode(f"{document.path}\n".encode("utf-8", "surrogateescape"))
                text = [tokenizer.special["<|file_sep|>"], *path, *text]
            yield text

    write_shard(folder, "train", ids(), tokenizer.vocab_size, tokenizer.end_of_text)


def warnings_about(corpus: Corpus) -> Iterator[str]:
    """What a user should know about a corpus before waiting for it."""
    if corpus.report.get("split_fallback"):
        yield f"small repository: {corpus.report['split_fallback']}"
    near = sum(document.near_duplicate_of is not None for document in corpus.val)
    if near:
        yield f"{near} held-out files nearly copy a learned one; every figure is given without them too"
    redactions = sum(corpus.report.get("redactions", {}).values())
    if redactions:
        yield f"{redactions} secrets were replaced by placeholders"


def differences(before: Engine, now: Engine) -> Iterator[str]:
    """In which respects two engines differ, as sentences."""
    for field in dataclasses.fields(Engine):
        was, is_now = getattr(before, field.name), getattr(now, field.name)
        if was != is_now:
            yield f"{field.name.replace('_', ' ')} was {was}, is {is_now}"


def model_is_finished(run: Run) -> bool:
    """Whether the run's model is there and verifies."""
    try:
        verify_directory(run.model)
        read_json(run.training)
    except ArtifactError:
        return False
    return True


def versions() -> dict[str, str]:
    """Of this package and of those that decide its numbers."""
    names = ("torch", "numpy", "tokenizers", "safetensors", "tree-sitter")
    return {"cllm": __version__, **{name: importlib.metadata.version(name) for name in names}}
