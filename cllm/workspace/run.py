"""The files of one run, inside `.cllm/runs/NNNN/`, in the order in which they come to be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllm.artifacts import read_object
from cllm.errors import ArtifactError, CorpusError, WorkspaceError
from cllm.workspace.workspace import Workspace


@dataclass(frozen=True)
class Run:
    """A run's folder; everything that its stages leave for each other is in it."""

    folder: Path

    @property
    def corpus(self) -> Path:
        """Directory: the documents (`cllm.corpus`)."""
        return self.folder / "corpus"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def dataset(self) -> Path:
        """Directory: the documents' ids (`cllm.dataset`)."""
        return self.folder / "dataset"

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def memory_plan(self) -> Path:
        """Which documents the memory reads, and which of them with the network."""
        return self.folder / "memory-plan.json"

    @property
    def checkpoints(self) -> Path:
        """Directories step-NNNNNN; gone when the run is finished."""
        return self.folder / "checkpoints"

    @property
    def status(self) -> Path:
        """Where the run stands, rewritten every half second while it trains."""
        return self.folder / "status.json"

    @property
    def history(self) -> Path:
        """How the training went, sampled (SQLite, `cllm.stages.history`)."""
        return self.folder / "history.sqlite"

    @property
    def model(self) -> Path:
        """Directory: the finished model (`cllm.model.weights`)."""
        return self.folder / "model"

    @property
    def memory(self) -> Path:
        """Directory: the finished memory (`cllm.memory.store`), of this model, without the held-out files."""
        return self.folder / "memory"

    @property
    def update(self) -> Path:
        """Directory: what the memory came to know since, held-out files among it; it completes, and never scores."""
        return self.folder / "update"

    @property
    def training(self) -> Path:
        """What the training took, for the scorecard."""
        return self.folder / "training.json"

    @property
    def scorecard(self) -> Path:
        return self.folder / "scorecard.json"


def read_scorecard(run: Run) -> dict[str, Any]:
    """A run's scorecard; ArtifactError where it is missing or not one."""
    card = read_object(run.scorecard)
    if missing := {"held_out", "train", "syntax", "weights_sha256", "seconds"} - card.keys():
        raise ArtifactError(f"{run.scorecard} is no scorecard: it has no {min(missing)}")
    return card


def existing_directory(root: Path) -> Path:
    """The absolute path of a repository; CorpusError where there is no directory."""
    if not root.is_dir():
        raise CorpusError(f"{root} is {'not a directory' if root.exists() else 'not there'}: give a repository's path")
    return root.resolve()


def current_run(workspace: Workspace) -> Run:
    """The run whose model is in use; WorkspaceError where nothing was learned yet."""
    folder = workspace.current()
    if folder is None and workspace.unfinished() is not None:
        raise WorkspaceError(f"the first run in {workspace.root} is unfinished: `cllm train {workspace.root}` goes on")
    if folder is None:
        raise WorkspaceError(f"nothing was learned in {workspace.root} yet: run `cllm train {workspace.root}` first")
    return Run(folder)
