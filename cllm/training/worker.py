"""The training worker process, which answers its control node's calls (see `cllm.spheres`)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cllm.dataset import Shard
from cllm.spheres import SharedArrays
from cllm.spheres.order import FANOUT
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer
from cllm.training.layout import gradient_layout, layout
from cllm.training.learner import Learner, TrainingData
from cllm.training.measure import measure, measure_sum_bandwidth
from cllm.training.plan import load_plan
from cllm.training.state import TensorState

CALLS = (
    "load_run",
    "amend",
    "initialise",
    "cast_weights",
    "compute",
    "reduce_to_parent",
    "reduce",
    "update",
    "dev_loss",
)


class TrainingWorker:
    """The calls that a worker answers; `load_run` comes before all others."""

    def __init__(self) -> None:
        self._learner: Learner | None = None

    @property
    def learner(self) -> Learner:
        assert self._learner is not None, "called before load_run"
        return self._learner

    def load_run(self, run: str, plan: str, descriptor: int, dev: list[int], gradients_fd: int | None = None) -> None:
        """Load a run's plan and data, and map its shared memory.

        `descriptor`: of the run's state, in this process; `gradients_fd`: of the gradients of the worker's sphere, with
        two levels.
        """
        loaded = load_plan(Path(plan))
        dtype = loaded.engine.dtype
        shared = SharedArrays(layout(loaded.model, dtype, loaded.levels), descriptor)
        in_sphere = None if gradients_fd is None else SharedArrays(gradient_layout(loaded.model, dtype), gradients_fd)
        state = TensorState(shared, loaded.model, dtype, in_sphere)
        data = TrainingData(
            tokenizer=Tokenizer.load(Path(run) / "tokenizer.json"),
            shard=Shard.open(Path(run) / "dataset", "train"),
            dev=np.array(dev, np.int64),
        )
        self._learner = Learner(loaded, state, data)

    def amend(self, amendments: list[dict[str, int]]) -> None:
        """Replace the plan's amendments."""
        self.learner.plan = self.learner.plan.with_amendments(amendments)

    def initialise(self) -> None:
        self.learner.initialise()

    def cast_weights(self, step: int) -> None:
        self.learner.cast_weights(step)

    def compute(self, step: int, position: int, sphere: int = 0) -> float:
        """Compute the micro-batch at `position` of a sphere; `sphere`: with two levels, its position in the run's."""
        return self.learner.compute(step, sphere * FANOUT + position)

    def reduce_to_parent(self, part_indices: list[int], position: int) -> None:
        self.learner.reduce_to_parent(part_indices, position)

    def reduce(self, part_indices: list[int], is_summed: bool = False) -> list[float]:
        return self.learner.reduce(part_indices, is_summed)

    def update(self, step: int, part_indices: list[int], is_summed: bool = False) -> None:
        self.learner.update(step, part_indices, is_summed)

    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        return self.learner.dev_loss(context, first, count)


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker = TrainingWorker()
    handlers: dict[str, Any] = {name: getattr(worker, name) for name in CALLS}
    serve({**handlers, "measure": measure, "measure_sum_bandwidth": measure_sum_bandwidth, "ping": lambda: None})
