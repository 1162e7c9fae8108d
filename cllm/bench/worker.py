"""Our contender's processes: the workers of a training, which also score (`python -m cllm.bench.worker`)."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cllm.bench.process import windows
from cllm.dataset import Shard
from cllm.spheres.worker import serve
from cllm.training.measure import measure
from cllm.training.worker import CALLS, Worker


class ScoringWorker(Worker):
    """A worker that knows the held-out documents."""

    def join(self, run: str, plan: str, descriptor: int, dev: list[int]) -> None:
        super().join(run, plan, descriptor, dev)
        self._held_out = Shard.open(Path(run) / "dataset", "val")

    @torch.inference_mode()
    def score(self, document: int) -> float:
        """Bits of a held-out document by the network as it is now."""
        ids = self._held_out.document(document).astype(np.int64)
        model, nats = self.learner.model, 0.0
        for inputs, targets in windows(ids, model.config.context_length, self.learner.data.tokenizer.end_of_text):
            hidden = model(inputs.unsqueeze(0))[0, -len(targets) :]
            nats += F.cross_entropy(F.linear(hidden, model.head_weight).float(), targets, reduction="sum").item()
        return nats / math.log(2)


def ready() -> None:
    """What is imported is there."""


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker = ScoringWorker()
    handlers: dict[str, Any] = {name: getattr(worker, name) for name in (*CALLS, "score")}
    serve({**handlers, "measure": measure, "ready": ready})


if __name__ == "__main__":
    main()
