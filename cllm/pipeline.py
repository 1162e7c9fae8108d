"""The order of the stages: the only module that knows it.

    scan -> tokenizer -> dataset -> plan -> train -> model -> memory -> scorecard -> publish

Each stage leaves its files in the run's folder (`cllm.run`), written atomically, and the next begins from them. So an
interrupted run goes on with the first stage whose files are not there. The process that runs this is Node Zero: it
computes no batch and never imports PyTorch.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cllm.artifacts import read_object, sweep, verify_directory, write_file, write_json
from cllm.corpus import Corpus, CorpusConfig, ingest
from cllm.errors import ArtifactError
from cllm.evaluation.compressors import external
from cllm.interrupt import Interruption
from cllm.machine import MemorySampler, return_memory
from cllm.progress import Reporter
from cllm.run import Run, current_run, existing_directory, read_scorecard
from cllm.stages.learning import learn
from cllm.stages.planning import plan_run
from cllm.stages.prepare import prepare
from cllm.stages.remembering import Remembering, has_memory, update
from cllm.stages.scoring import account, drawn, score, score_baselines
from cllm.stages.session import Session, TrainOptions
from cllm.stages.workers import launch_workers, load_kernels, start_nursery
from cllm.training.launch import launch_measurers
from cllm.workspace import Workspace


def learn_repository(root: Path, options: TrainOptions, report: Reporter) -> dict[str, Any]:
    """Learn the repository at `root`, or go on with the run that was interrupted there; its scorecard.

    Where a run is finished and nothing is to be fresh: that run's scorecard, and what changed since.
    """
    workspace = Workspace(existing_directory(root))
    session = Session(workspace.root, options, report)
    with Interruption() as interruption, MemorySampler() as memory, workspace.lock():
        for folder in (workspace.folder, workspace.runs, *workspace.runs.glob("*")):
            sweep(folder)
        if not options.fresh and workspace.unfinished() is None and (current := workspace.current()) is not None:
            verify_directory(Run(current).model)
            verify_directory(Run(current).memory)
            if unused := options.about_a_new_run:
                report.say(f"{', '.join(unused)} not used: a new run would follow them, with --fresh")
            return already_learned(workspace, Run(current), report)
        return run_stages(session, workspace, interruption, memory)


def run_stages(
    session: Session, workspace: Workspace, interruption: Interruption, memory: MemorySampler
) -> dict[str, Any]:
    """The stages, in their order."""
    run = begun_or_new_run(workspace, session.options.fresh)
    if run.plan.exists() and (unused := session.options.about_a_new_run):
        session.report.say(f"this run was begun before, with its own plan: {', '.join(unused)} not used")
    # It starts first: importing PyTorch takes it as long as reading the repository takes us.
    with start_nursery() as nursery:
        if not run.plan.exists():
            prepare(session, run)
        session.report.phase("kernels")  # which are compiled here, where that was never done
        load_kernels(nursery)
        with Remembering(session, run, nursery) as remembering:
            if is_learned(run):
                session.seconds_before = read_object(run.training).get("command_seconds", 0.0)
            else:
                if not run.plan.exists():
                    with launch_measurers(session.num_workers, nursery) as sphere:
                        plan_run(session, run, sphere, remembering)
                return_memory()  # of what was read, 30 MB; and again before the scorecard
                remembering.begin()
                with launch_workers(session, run, nursery) as workers:
                    learn(session, run, workers, remembering, interruption)
            if not has_memory(run):
                remembering.finish()
        if not run.update.exists():
            update(run, run.corpus, nursery)
        return_memory()
        scores = score(session, run, nursery)
        memory.sample()
    card = {**scores, **account(session, run, memory)}
    write_json(run.scorecard, card)
    workspace.publish(run.folder)
    write_json(workspace.scorecard, card)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return card


def begun_or_new_run(workspace: Workspace, fresh: bool) -> Run:
    """The unfinished run if it had come to its plan, unless everything is to be fresh; else a new one."""
    try:
        unfinished = workspace.unfinished()
    except ArtifactError:
        if not fresh:
            raise
        unfinished = None  # learning anew is the way out of a damaged pointer, too
    if unfinished is not None and (fresh or not Run(unfinished).plan.exists()):
        shutil.rmtree(unfinished)
        unfinished = None
    return Run(unfinished or workspace.new_run())


def is_learned(run: Run) -> bool:
    """Whether the run's model is there and verifies."""
    try:
        verify_directory(run.model)
        read_object(run.training)
    except ArtifactError:
        return False
    return True


def already_learned(workspace: Workspace, run: Run, report: Reporter) -> dict[str, Any]:
    """Say that the run is finished and how the repository differs from what it learned; its scorecard."""
    card = read_scorecard(run)
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


def update_run(root: Path, report: Reporter) -> dict[str, Any]:
    """Let what is in use know the working tree as it is now, without learning anew; which paths are new to it or gone.

    The network stays as it is, and so do the scores: they are made without what came later.
    """
    workspace = Workspace(existing_directory(root))
    run = current_run(workspace)
    with (
        Interruption(),
        workspace.lock(),
        start_nursery() as nursery,
        tempfile.TemporaryDirectory(dir=workspace.folder, prefix=".tmp-") as scratch,
    ):
        report.phase("scan")
        corpus = Path(scratch) / "corpus"
        ingest(workspace.root, corpus, CorpusConfig())
        report.phase("update")
        return update(run, corpus, nursery)


def evaluate_again(root: Path, report: Reporter, compressors: Sequence[str] | None = None) -> dict[str, Any]:
    """Score what is in use anew, write the scorecard, and give it.

    With `compressors`, the user's own and perhaps none, the baselines are measured too, and drawn.
    """
    workspace = Workspace(existing_directory(root))
    run = current_run(workspace)
    for text in compressors or ():
        external(text)  # refused now, not after the scorecard
    session = Session(workspace.root, TrainOptions(), report)
    with Interruption(), MemorySampler() as memory, workspace.lock(), start_nursery() as nursery:
        load_kernels(nursery)
        scores = score(session, run, nursery)
        if compressors is not None:
            scores["baselines"] = score_baselines(session, run, nursery, compressors)
            write_file(workspace.picture, drawn(scores).encode())
        try:
            before = read_scorecard(run)
        except ArtifactError:  # it can be made again, but for what the learning took in all
            before = account(session, run, memory)
        card = {**before, **scores}
        write_json(run.scorecard, card)
        write_json(workspace.scorecard, card)
    return card
