"""Worker process of `CllmTrainer`: a training worker that also scores documents."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cllm.bench.shared.trainer_process import document_bits
from cllm.dataset import Shard
from cllm.spheres.worker import serve
from cllm.training.measure import measure
from cllm.training.worker import CALLS, TrainingWorker


class ScoringWorker(TrainingWorker):
    """A training worker that can score held-out documents."""

    def load_run(self, run: str, plan: str, descriptor: int, dev: list[int], gradients_fd: int | None = None) -> None:
        super().load_run(run, plan, descriptor, dev, gradients_fd)
        self._held_out = Shard.open(Path(run) / "dataset", "val")

    @torch.inference_mode()
    def score(self, document: int) -> float:
        """Return the bits of a held-out document with the current weights."""
        ids = self._held_out.document(document).astype(np.int64)
        model = self.learner.model

        def nats(inputs: Tensor, targets: Tensor) -> Tensor:
            logits = F.linear(model(inputs)[0, -len(targets) :], model.head_weight)
            return F.cross_entropy(logits.float(), targets, reduction="sum")

        return document_bits(ids, model.config.context_length, self.learner.data.tokenizer.end_of_text, nats)


def ping() -> None:
    """Return as soon as the process has started and its imports are done."""


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker = ScoringWorker()
    handlers: dict[str, Any] = {name: getattr(worker, name) for name in (*CALLS, "score")}
    serve({**handlers, "measure": measure, "ping": ping})
