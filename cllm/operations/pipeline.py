"""The pipeline: runs the stages in order.

    scan -> tokenizer -> dataset -> plan -> train -> memory -> update -> scorecard -> publish

Stages pass objects on, and write files so that a later command can open them again. A run is resumed at its newest
checkpoint, or after its model, its memory or its update if they are complete; one that has no plan yet starts over. The
process that runs this is Node Zero: it computes no batch and never imports PyTorch.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cllm.artifacts import read_object, remove_leftovers, verify_directory, write_file, write_json
from cllm.corpus import Corpus
from cllm.corpus.ingest import corpus_config, ingest
from cllm.errors import ArtifactError, CorpusError, WorkspaceError
from cllm.evaluation.compressors import parse_external
from cllm.interrupt import InterruptHandler
from cllm.machine import MemorySampler, trim_heap
from cllm.progress import Reporter
from cllm.stages.job import Job, TrainOptions
from cllm.stages.memory_build import MemoryBuild, update_memory
from cllm.stages.plan import load_plans, plan_run
from cllm.stages.prepare import Dataset, open_dataset, prepare
from cllm.stages.reserve import reserve_for
from cllm.stages.score import baselines_chart, run_metadata, score, score_baselines
from cllm.stages.train import train_run
from cllm.stages.trained_model import find_trained_model, has_memory, has_update, open_scored_model, scored_model
from cllm.stages.workers import launch_workers, load_kernels, start_fork_server
from cllm.workspace.run import Run, current_run, existing_directory, read_scorecard, write_scorecard
from cllm.workspace.workspace import Workspace

SCRATCH_PREFIX = ".tmp-"  # `remove_leftovers` removes what a killed command has left


def train_repository(root: Path, options: TrainOptions, report: Reporter) -> dict[str, Any]:
    """Train a model of the repository at `root`, or resume its interrupted run; returns the scorecard.

    If a run is finished and `options.fresh` is not set: that run's scorecard, and the files changed since. Where there
    is nothing to train on, nothing is left behind.
    """
    workspace = Workspace(existing_directory(root))
    job = Job(workspace.root, options, report)
    had_workspace = workspace.folder.exists()
    try:
        with InterruptHandler() as interrupt_handler, MemorySampler() as memory_sampler, workspace.lock():
            remove_all_leftovers(workspace)
            if not options.fresh and workspace.unfinished() is None and (current := workspace.current()) is not None:
                verify_directory(Run(current).model_path)
                verify_directory(Run(current).memory_path)
                report_unused_options(Run(current), options, report)
                return report_already_trained(workspace, Run(current), report)
            return run_stages(job, workspace, interrupt_handler, memory_sampler)
    except CorpusError:
        if not had_workspace:
            with contextlib.suppress(WorkspaceError):  # another process uses it now
                workspace.clean()
        raise


def run_stages(
    job: Job, workspace: Workspace, interrupt_handler: InterruptHandler, memory_sampler: MemorySampler
) -> dict[str, Any]:
    """Run the stages that are not done yet; returns the scorecard."""
    run = resume_or_create_run(workspace, job.options.fresh)
    is_planned = run.plan_path.exists()
    if is_planned:
        job.report.log("resuming the unfinished run with its own plan")
        report_unused_options(run, job.options, job.report)
        job.adopt_options(options_of(run))
    else:
        write_json(run.options_path, job.options.new_run_options)
    # Started first: its import of PyTorch takes as long as reading the repository, and runs at the same time.
    with start_fork_server() as fork_server:
        dataset = open_dataset(run) if is_planned else prepare_or_discard(job, run)
        job.start_phase("kernels")  # compiled here if they are not cached
        load_kernels(fork_server)
        with MemoryBuild(job, run, dataset.corpus, fork_server) as memory_build:
            if is_planned:
                plans = load_plans(run, dataset.corpus)
            else:
                plans = plan_run(job, run, dataset, fork_server, memory_build)
            if model := find_trained_model(run):
                job.seconds_before_resume = read_object(run.training_path).get("run_seconds", 0.0)
            else:
                trim_heap()  # returns 30 MB used by the scan; again before the scorecard
                memory_build.begin(plans.memory)
                with launch_workers(job, plans.training, fork_server) as workers:
                    model = train_run(job, run, dataset, plans.training, workers, memory_build, interrupt_handler)
            if is_planned:
                job.extend_budget(reserve_for(job, dataset.corpus, plans.memory).total)
            if not has_memory(run, model):
                memory_build.finish(plans.memory, model)
        if not has_update(run):
            update_memory(run, run.corpus_path, fork_server)
        trim_heap()
        scores = score(job, scored_model(run, model), dataset.corpus, fork_server)
        job.start_phase("publish")
        memory_sampler.sample()
    card = {**scores, **run_metadata(job, run, memory_sampler)}
    write_scorecard(run.scorecard_path, card)
    write_scorecard(workspace.scorecard, card)
    shutil.rmtree(run.checkpoints_path, ignore_errors=True)
    workspace.publish(run.folder)  # last: from here on the run is finished
    return card


def prepare_or_discard(job: Job, run: Run) -> Dataset:
    """Prepare a new run; it is removed if there is nothing to train on, because there is nothing to resume."""
    try:
        return prepare(job, run)
    except CorpusError:
        shutil.rmtree(run.folder)
        raise


def remove_all_leftovers(workspace: Workspace) -> None:
    """Remove the temporary files of killed commands."""
    for folder in (workspace.folder, workspace.runs, *workspace.runs.glob("*")):
        remove_leftovers(folder)


def options_of(run: Run) -> dict[str, Any]:
    """The options that a run was started with."""
    return read_object(run.options_path) if run.options_path.exists() else {}


def report_unused_options(run: Run, options: TrainOptions, report: Reporter) -> None:
    """Log which of the given options have no effect, as the run was started with others."""
    if unused := options.unused_options(options_of(run)):
        report.log(f"{', '.join(unused)} not used: a new run, with --fresh, would use them")


def resume_or_create_run(workspace: Workspace, fresh: bool) -> Run:
    """The unfinished run if it has a plan and `fresh` is not set; otherwise a new run."""
    try:
        unfinished = workspace.unfinished()
    except ArtifactError:
        if not fresh:
            raise
        unfinished = None  # --fresh also recovers from a damaged current.json
    if unfinished is not None and (fresh or not Run(unfinished).plan_path.exists()):
        shutil.rmtree(unfinished)
        unfinished = None
    return Run(unfinished or workspace.new_run())


def report_already_trained(workspace: Workspace, run: Run, report: Reporter) -> dict[str, Any]:
    """Report that the run is finished, and the files changed since; returns its scorecard with `changed_since`."""
    card = read_scorecard(run)
    with tempfile.TemporaryDirectory(dir=workspace.folder, prefix=SCRATCH_PREFIX) as scratch:
        now = ingest(workspace.root, Path(scratch) / "corpus", corpus_config(run.corpus_path))
        changed = changes(Corpus.open(run.corpus_path), now)
    counts = ", ".join(f"{len(paths)} {kind}" for kind, paths in changed.items())
    report.log(f"already trained (run {run.folder.name}); files since then: {counts}; train again with --fresh")
    return {**card, "changed_since": changed}


def changes(before: Corpus, now: Corpus) -> dict[str, list[str]]:
    """Paths of documents that were added, removed or modified."""
    old = {document.path: document.sha256 for document in before.documents}
    new = {document.path: document.sha256 for document in now.documents}
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "modified": sorted(path for path in new.keys() & old.keys() if new[path] != old[path]),
    }


def update_run(root: Path, report: Reporter) -> dict[str, Any]:
    """Update the memory to the present working tree, without training; returns the paths that are `new` or `stale`.

    The network does not change, nor do the scores, which do not use the update.
    """
    workspace = Workspace(existing_directory(root))
    run = current_run(workspace)
    with InterruptHandler(), workspace.lock(), start_fork_server() as fork_server:
        remove_all_leftovers(workspace)
        with tempfile.TemporaryDirectory(dir=workspace.folder, prefix=SCRATCH_PREFIX) as scratch:
            report.start_phase("scan")
            corpus = Path(scratch) / "corpus"
            ingest(workspace.root, corpus, corpus_config(run.corpus_path))
            report.start_phase("update")
            return update_memory(run, corpus, fork_server)


def evaluate_repository(root: Path, report: Reporter, compressors: Sequence[str] | None = None) -> dict[str, Any]:
    """Score the current model again, write its scorecard, and return it.

    If `compressors` (the user's own, can be empty) is not None, the baselines are measured and charted too.
    """
    workspace = Workspace(existing_directory(root))
    run = current_run(workspace)
    for text in compressors or ():
        parse_external(text)  # reject invalid ones now, not after the scorecard
    job = Job(workspace.root, TrainOptions(), report)
    job.adopt_options(options_of(run))  # the same files are scored, in the same time
    with InterruptHandler(), MemorySampler() as memory_sampler, workspace.lock(), start_fork_server() as fork_server:
        load_kernels(fork_server)
        model, corpus = open_scored_model(run), Corpus.open(run.corpus_path)
        scores = score(job, model, corpus, fork_server)
        if compressors is not None:
            scores["baselines"] = score_baselines(job, model, corpus, fork_server, compressors)
            write_file(workspace.baselines_chart_path, baselines_chart(scores).encode())
        try:
            before = read_scorecard(run)
        except ArtifactError:  # it is rebuilt, except for the total cost of the training
            before = run_metadata(job, run, memory_sampler)
        card = {**before, **scores}
        write_scorecard(run.scorecard_path, card)
        write_scorecard(workspace.scorecard, card)
    return card
