"""`cllm info`: the corpus, plan, run and model of a repository."""

import dataclasses
from pathlib import Path
from typing import Any

from cllm.artifacts import MANIFEST, read_object
from cllm.corpus import Corpus
from cllm.errors import ArtifactError
from cllm.training.plan import load_plan
from cllm.workspace.run import Run, current_run_of, existing_directory, read_scorecard
from cllm.workspace.workspace import Workspace


def current_corpus(root: Path) -> Corpus:
    """The corpus of the current run."""
    return Corpus.open(current_run_of(root).corpus_path)


def repository_info(root: Path) -> dict[str, Any]:
    """The current model, and the newest run: {"model": ..., "run": ..., "workers": ...}."""
    workspace = Workspace(existing_directory(root))
    holder = workspace.holder()
    found: dict[str, Any] = {
        "repository": str(workspace.root),
        "disk_bytes": workspace.disk_bytes(),
        "holder": holder,
        "model": None,
    }
    current, unfinished = workspace.current(), workspace.unfinished()
    if current is not None:
        run = Run(current)
        card = read_scorecard(run)
        found["model"] = {
            "run": current.name,
            **{key: card[key] for key in ("bits_per_byte", "train", "weights_sha256") if key in card},
            "update": update_info(run),
        }
    newest = unfinished or current
    if newest is not None:
        found |= run_info(Run(newest), live=holder is not None and unfinished is not None)
    return found


def redactions_info(root: Path) -> dict[str, Any]:
    """File, line and kind of each secret that was replaced in the newest run's corpus, never the secret.

    `redactions` has a record for each; `keep_unused` has the entries of `[corpus] keep` that match none.
    """
    workspace = Workspace(existing_directory(root))
    unfinished = workspace.unfinished()
    run = current_run_of(root) if unfinished is None else Run(unfinished)
    report = Corpus.open(run.corpus_path).report
    return {"redactions": report.get("redacted", []), "keep_unused": report.get("keep_unused", [])}


def update_info(run: Run) -> dict[str, Any]:
    """Files that completions use besides the training files (`new`), and training files not used any more (`stale`).

    ArtifactError: the update's manifest lacks a key.
    """
    if not (run.update_path / MANIFEST).exists():
        return {"new": [], "stale": [], "is_trained": True}
    manifest = read_object(run.update_path / MANIFEST)
    if missing := {"new", "stale", "is_trained"} - manifest.keys():
        raise ArtifactError(f"{run.update_path / MANIFEST} has no {min(missing)}: run `cllm update`")
    return {name: manifest[name] for name in ("new", "stale", "is_trained")}


def run_info(run: Run, live: bool) -> dict[str, Any]:
    """Corpus statistics, plan and state of a run, as far as they exist."""
    found: dict[str, Any] = {
        "state": "training" if live else ("finished" if run.scorecard_path.exists() else "interrupted")
    }
    try:
        found["corpus"] = Corpus.open(run.corpus_path).report
        found["plan"] = dataclasses.asdict(load_plan(run.plan_path))
        found |= read_object(run.status_path)
    except ArtifactError:
        pass  # a run that has just started has not written them yet
    if not live:
        found["workers"] = []
    return found
