"""The files of one run, in `.cllm/runs/NNNN/`, in about the order in which the stages write them.

A run with a plan can be resumed; one without starts over.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllm.artifacts import read_object, write_json
from cllm.errors import ArtifactError, CorpusError, WorkspaceError
from cllm.git.work_tree import why_no_work_tree
from cllm.workspace.workspace import Workspace


@dataclass(frozen=True)
class Run:
    """A run's folder, which holds the files that its stages pass on."""

    folder: Path

    @property
    def options_path(self) -> Path:
        """The command-line options that the run was started with."""
        return self.folder / "options.json"

    @property
    def corpus_path(self) -> Path:
        """Directory: the documents (`cllm.corpus`)."""
        return self.folder / "corpus"

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def dataset_path(self) -> Path:
        """Directory: the documents as token ids (`cllm.dataset`)."""
        return self.folder / "dataset"

    @property
    def plan_path(self) -> Path:
        return self.folder / "plan.json"

    @property
    def memory_plan_path(self) -> Path:
        """The documents that the memory is trained on, alone and with the network (`cllm.stages.memory_plan`)."""
        return self.folder / "memory-plan.json"

    @property
    def checkpoints_path(self) -> Path:
        """Directories step-NNNNNN; removed when the run is finished."""
        return self.folder / "checkpoints"

    @property
    def status_path(self) -> Path:
        """The present state of the run, rewritten every 0.5 s during training."""
        return self.folder / "status.json"

    @property
    def history_path(self) -> Path:
        """Samples of the training over time (SQLite, `cllm.stages.history`)."""
        return self.folder / "history.sqlite"

    @property
    def model_path(self) -> Path:
        """Directory: the finished model (`cllm.model.weights`)."""
        return self.folder / "model"

    @property
    def memory_path(self) -> Path:
        """Directory: the finished memory of this model (`cllm.memory.store`), without the held-out files."""
        return self.folder / "memory"

    @property
    def update_path(self) -> Path:
        """Directory: the memory's update with held-out and later files; used for completions, never for scores."""
        return self.folder / "update"

    @property
    def training_path(self) -> Path:
        """The cost of the training, for the scorecard."""
        return self.folder / "training.json"

    @property
    def scorecard_path(self) -> Path:
        return self.folder / "scorecard.json"


DIGEST = "scorecard_sha256"  # of the other values
REQUIRED_KEYS = frozenset({"held_out", "highest_cost_files", "train", "syntax", "weights_sha256", "seconds", DIGEST})


def write_scorecard(path: Path, card: Mapping[str, Any]) -> None:
    """Write a scorecard, with the hash of its values by which a changed one is found."""
    values = {name: value for name, value in card.items() if name != DIGEST}
    write_json(path, {**values, DIGEST: _digest_of(values)})


def read_scorecard(run: Run) -> dict[str, Any]:
    """Load a run's scorecard; ArtifactError if it is missing, incomplete or altered."""
    card = read_object(run.scorecard_path)
    remedy = "`cllm eval` makes a new one, `cllm train --fresh` trains again"
    if missing := REQUIRED_KEYS - card.keys():
        raise ArtifactError(f"{run.scorecard_path} is not a valid scorecard: it has no {min(missing)}; {remedy}")
    digest = card.pop(DIGEST)
    if _digest_of(card) != digest:
        raise ArtifactError(f"{run.scorecard_path} was altered: its values differ from its hash; {remedy}")
    return card


def _digest_of(values: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def existing_directory(root: Path, *, needs_work_tree: bool = True) -> Path:
    """The absolute path of a repository; CorpusError if it is not a directory, or has no work tree but needs one."""
    if not root.is_dir():
        raise CorpusError(
            f"{root} {'is not a directory' if root.exists() else 'does not exist'}: give a repository's path"
        )
    if needs_work_tree and (reason := why_no_work_tree(root)):
        raise CorpusError(f"{root.resolve()} {reason}")
    return root.resolve()


def current_run_of(root: Path) -> Run:
    """The run whose model is in use in the repository at `root`; errors as of the functions that it calls."""
    return current_run(Workspace(existing_directory(root)))


def current_run(workspace: Workspace) -> Run:
    """The run whose model is in use; WorkspaceError if there is none yet."""
    folder = workspace.current()
    if folder is None and workspace.unfinished() is not None:
        raise WorkspaceError(
            f"the first run in {workspace.root} is unfinished: `cllm train {workspace.root}` resumes it"
        )
    if folder is None:
        raise WorkspaceError(f"there is no model of {workspace.root} yet: run `cllm train {workspace.root}` first")
    return Run(folder)
