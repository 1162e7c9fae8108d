"""The worker process, answering the calls of Node Zero (see `cllm.spheres`)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cllm.dataset import Shard
from cllm.spheres import SharedArrays
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer
from cllm.training.layout import layout, row_layout
from cllm.training.learner import Data, Learner
from cllm.training.measure import measure, measure_sums
from cllm.training.plan import load_plan
from cllm.training.state import TensorState

CALLS = ("join", "amend", "initialise", "round_weights", "compute", "gather", "reduce", "update", "dev_loss")


class Worker:
    """The calls a worker answers. `join` comes before all but `measure`."""

    def __init__(self) -> None:
        self._learner: Learner | None = None

    @property
    def learner(self) -> Learner:
        assert self._learner is not None, "called before join"
        return self._learner

    def join(self, run: str, plan: str, descriptor: int, dev: list[int], rows: int | None = None) -> None:
        """Map the shared memory, the plan and the data of a run; `rows`, a descriptor, is the sphere's own memory."""
        loaded = load_plan(Path(plan))
        dtype = loaded.engine.dtype
        shared = SharedArrays(layout(loaded.model, dtype, loaded.levels), descriptor)
        own = None if rows is None else SharedArrays(row_layout(loaded.model, dtype), rows)
        state = TensorState(shared, loaded.model, dtype, own)
        data = Data(
            tokenizer=Tokenizer.load(Path(run) / "tokenizer.json"),
            shard=Shard.open(Path(run) / "dataset", "train"),
            dev=np.array(dev, np.int64),
        )
        self._learner = Learner(loaded, state, data)

    def amend(self, plan: str) -> None:
        """Go on with the plan as it is saved now."""
        self.learner.plan = load_plan(Path(plan))

    def initialise(self) -> None:
        self.learner.initialise()

    def round_weights(self, step: int) -> None:
        self.learner.round_weights(step)

    def compute(self, step: int, position: int) -> float:
        return self.learner.compute(step, position)

    def gather(self, parts: list[int], position: int) -> None:
        self.learner.gather(parts, position)

    def reduce(self, parts: list[int], is_summed: bool = False) -> list[float]:
        return self.learner.reduce(parts, is_summed)

    def update(self, step: int, parts: list[int], is_summed: bool = False) -> None:
        self.learner.update(step, parts, is_summed)

    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        return self.learner.dev_loss(context, first, count)


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker = Worker()
    handlers: dict[str, Any] = {name: getattr(worker, name) for name in CALLS}
    serve({**handlers, "measure": measure, "measure_sums": measure_sums, "answer": lambda: None})
