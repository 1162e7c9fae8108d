"""Checkpoints of a run: an interrupted run loses only the seconds of training since the last one.

A checkpoint is a directory step-NNNNNN: `state.safetensors` with weights and optimizer state by parameter name, and a
manifest with the step, the plan's identity and the resources used so far. The state is copied out of the shared memory
between two steps, then written while the next steps are computed. On resume the newest checkpoint that verifies is
loaded; invalid ones are reported and skipped.
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

from cllm.artifacts import remove_leftovers, verify_directory, write_directory
from cllm.errors import ArtifactError
from cllm.model.config import TransformerConfig, is_matrix
from cllm.spheres import SharedArrays
from cllm.training.layout import named_arrays
from cllm.training.plan import Plan

STATE_FILE = "state.safetensors"
NUM_KEPT_CHECKPOINTS = 2  # the newest, and one to fall back to


@dataclass(frozen=True, kw_only=True)
class ResourceUsage:
    """Resources that a run has used so far, including before a resume."""

    seconds: float = 0.0  # wall-clock time of training
    run_seconds: float = 0.0  # wall-clock time since the first file was read
    cpu_seconds: float = 0.0  # CPU time of the workers during training
    worker_seconds: float = 0.0  # sum over workers of the time that they were active in training
    dev_bits_per_byte: tuple[tuple[int, float], ...] = ()  # (step, bits per byte)

    def __post_init__(self) -> None:
        pairs = tuple((step, bits) for step, bits in self.dev_bits_per_byte)
        object.__setattr__(self, "dev_bits_per_byte", pairs)  # JSON has lists only


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its directory, its plan's identity, the number of steps done, and the resources used."""

    directory: Path
    plan_identity: str
    step: int
    usage: ResourceUsage


def saved_arrays(shared: SharedArrays, config: TransformerConfig, step: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a checkpoint after `step` steps, as fp32 views of the shared memory.

    Keys: "weights.NAME", "first_moment.NAME" and, except for matrices, "second_moment.NAME"; each has its parameter's
    shape (shapes as in `parameter_shapes`).
    """
    arrays = {}
    for array in ("weights", "first_moment", "second_moment"):
        for name, values in named_arrays(shared, array, config, step).items():
            if array != "second_moment" or not is_matrix(name):
                arrays[f"{array}.{name}"] = values
    return arrays


class Checkpointer:
    """Writes a run's checkpoints into a folder, one at a time, in a background thread."""

    def __init__(self, folder: Path, shared: SharedArrays, plan: Plan, last_step: int = 0) -> None:
        self.folder, self._shared, self._plan = folder, shared, plan
        folder.mkdir(parents=True, exist_ok=True)
        self.last_step = last_step  # step of the newest checkpoint on disk
        self._write_thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def save(self, step: int, usage: ResourceUsage) -> None:
        """Copy the state now and write it in the background. Raises ArtifactError if the previous write failed."""
        self.wait()
        copy = {name: np.array(values) for name, values in saved_arrays(self._shared, self._plan.model, step).items()}
        self._write_thread = threading.Thread(target=self._write, args=(copy, step, usage))
        self._write_thread.start()

    def wait(self) -> None:
        """Wait until the last save is on disk; ArtifactError if it could not be written."""
        if self._write_thread is not None:
            self._write_thread.join()
            self._write_thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise ArtifactError(
                f"the checkpoint could not be written to {self.folder} ({failure}); free some space and run the same "
                "command again"
            ) from failure

    def _write(self, copy: dict[str, npt.NDArray[Any]], step: int, usage: ResourceUsage) -> None:
        def fill(folder: Path) -> None:
            safetensors.numpy.save_file(copy, folder / STATE_FILE)

        about = {"plan": self._plan.identity, "step": step, "usage": asdict(usage)}
        try:
            write_directory(self.folder / f"step-{step:06d}", fill, **about)
        except Exception as error:  # a full disk shows as OSError or as SafetensorError
            self._failure = error
            return
        self.last_step = step
        for old in sorted(self.folder.glob("step-*"))[:-NUM_KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None; `warn` is called for each one that does not."""
    remove_leftovers(folder)
    for directory in sorted(folder.glob("step-*"), reverse=True):
        try:
            manifest = verify_directory(directory, STATE_FILE)
            return Checkpoint(directory, manifest["plan"], int(manifest["step"]), ResourceUsage(**manifest["usage"]))
        except (ArtifactError, KeyError, TypeError, ValueError) as error:
            warn(f"skipped the checkpoint {directory.name}: {error}")
    return None


def restore(checkpoint: Checkpoint, shared: SharedArrays, plan: Plan) -> None:
    """Copy a checkpoint's arrays into the shared memory; ArtifactError if it does not belong to the plan."""
    if checkpoint.plan_identity != plan.identity:
        raise ArtifactError(
            f"the checkpoint {checkpoint.directory} was written with another plan than the run's plan.json"
        )
    saved = safetensors.numpy.load_file(checkpoint.directory / STATE_FILE)
    for name, values in saved_arrays(shared, plan.model, checkpoint.step).items():
        if name not in saved or saved[name].shape != values.shape:
            raise ArtifactError(
                f"the checkpoint {checkpoint.directory} does not match the plan: {name} is missing or has another shape"
            )
        values[...] = saved[name]
