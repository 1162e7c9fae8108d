"""A run's numbers on disk, so that a process may end at any moment and nothing but seconds is lost.

A checkpoint is a directory step-NNNNNN: `state.safetensors` with weights and optimizer state by parameter name, and a
manifest with the step, the plan's identity and what the run has taken so far. It is copied out of the shared memory
between two steps, then written while the next steps are computed. The newest that verifies is loaded; a bad one is
named and passed over.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from cllm.artifacts import sweep, verify_directory, write_directory
from cllm.errors import ArtifactError
from cllm.model.config import TransformerConfig, is_matrix
from cllm.spheres import SharedArrays
from cllm.training.layout import named_arrays
from cllm.training.plan import Plan

STATE = "state.safetensors"
KEPT = 2  # checkpoints: the newest, and one to fall back to


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a run has taken so far, in all processes that have worked on it."""

    seconds: float = 0.0  # of training
    command_seconds: float = 0.0  # since the first file was read
    processor_seconds: float = 0.0  # of the workers, while training
    worker_seconds: float = 0.0  # that the workers were there, while training, and did not rest
    dev_bits_per_byte: tuple[tuple[int, float], ...] = ()  # (step, bits per byte)

    def __post_init__(self) -> None:
        pairs = tuple((step, bits) for step, bits in self.dev_bits_per_byte)
        object.__setattr__(self, "dev_bits_per_byte", pairs)  # JSON knows lists alone


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: where it is, the plan it belongs to, the steps done, what they took."""

    directory: Path
    plan_identity: str
    step: int
    spent: Spent


def saved_arrays(shared: SharedArrays, config: TransformerConfig, step: int) -> dict[str, npt.NDArray[Any]]:
    """What a checkpoint after so many steps holds: "weights.NAME", "first.NAME", "second.NAME", views of the memory."""
    arrays = {}
    for array in ("weights", "first", "second"):
        for name, values in named_arrays(shared, array, config, step).items():
            if array != "second" or not is_matrix(name):
                arrays[f"{array}.{name}"] = values
    return arrays


class Checkpointer:
    """Writes checkpoints of a run into a folder, one at a time, in the background."""

    def __init__(self, folder: Path, shared: SharedArrays, plan: Plan, last_step: int = 0) -> None:
        self.folder, self._shared, self._plan = folder, shared, plan
        folder.mkdir(parents=True, exist_ok=True)
        self.last_step = last_step  # of the newest checkpoint that is durable
        self._writing: threading.Thread | None = None
        self._failure: Exception | None = None

    def save(self, step: int, spent: Spent) -> None:
        """Copy the state now, write it while the caller goes on. Raises what the previous write failed with."""
        self.wait()
        copy = {name: np.array(values) for name, values in saved_arrays(self._shared, self._plan.model, step).items()}
        self._writing = threading.Thread(target=self._write, args=(copy, step, spent))
        self._writing.start()

    def wait(self) -> None:
        """Return when the last save is durable; ArtifactError when it could not be written."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise ArtifactError(
                f"the checkpoint could not be written to {self.folder} ({failure}); free some space and run the same "
                "command again"
            ) from failure

    def _write(self, copy: dict[str, npt.NDArray[Any]], step: int, spent: Spent) -> None:
        def fill(folder: Path) -> None:
            safetensors.numpy.save_file(copy, folder / STATE)

        about = {"plan": self._plan.identity, "step": step, "spent": asdict(spent)}
        try:
            write_directory(self.folder / f"step-{step:06d}", fill, **about)
        except Exception as error:  # a full disk shows as OSError or as SafetensorError
            self._failure = error
            return
        self.last_step = step
        for old in sorted(self.folder.glob("step-*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that verifies; `warn` is told of each one that does not."""
    sweep(folder)
    for directory in sorted(folder.glob("step-*"), reverse=True):
        try:
            manifest = verify_directory(directory, STATE)
            return Checkpoint(directory, manifest["plan"], int(manifest["step"]), Spent(**manifest["spent"]))
        except (ArtifactError, KeyError, TypeError, ValueError) as error:
            warn(f"passed over the checkpoint {directory.name}: {error}")
    return None


def restore(checkpoint: Checkpoint, shared: SharedArrays, plan: Plan) -> None:
    """Copy a checkpoint's numbers into the shared memory; ArtifactError where it is of another plan."""
    if checkpoint.plan_identity != plan.identity:
        raise ArtifactError(f"the checkpoint {checkpoint.directory} is of another plan than the one beside it")
    saved = safetensors.numpy.load_file(checkpoint.directory / STATE)
    for name, values in saved_arrays(shared, plan.model, checkpoint.step).items():
        if name not in saved or saved[name].shape != values.shape:
            raise ArtifactError(f"the checkpoint {checkpoint.directory} does not fit the plan: {name}")
        values[...] = saved[name]
