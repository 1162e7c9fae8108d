"""Training of cllm's network with one of the heads and one of the components, by autograd, in one process."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.bench.ablation.components import COMPONENTS
from cllm.bench.ablation.heads import HEADS, OutputHead
from cllm.bench.shared.plans import network_config
from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.bench.shared.trainer_process import TrainerProcess, document_bits, serve_trainer
from cllm.model.config import fused_rows, is_matrix
from cllm.spheres.order import FANOUT
from cllm.training.optimizer import adamw_step, muon_step
from cllm.training.plan import OptimizerConfig, TrainingConfig, learning_rate_scale


class AutogradTrainer(TrainerProcess):
    """cllm's network, optimizer and schedule in float32; shapes as in `TrainerProcess`.

    Settings: `recipe`, the network's shape; `head`, a name in `HEADS`; `component`, a name in `COMPONENTS`.
    """

    def prepare(self, settings: dict[str, Any]) -> None:
        self._shape = NanoGptRecipe(**settings["recipe"])
        counts = torch.from_numpy(np.bincount(self.stream, minlength=self.vocab_size))
        self._network = COMPONENTS[settings["component"]](network_config(self._shape, self.vocab_size), counts)
        self._head: OutputHead = HEADS[settings["head"]](counts, self._shape.n_embd)
        named = [*self._network.named_parameters(), *(("head", weight) for weight in self._head.parameters())]
        self._parameters = [
            (name, weight, torch.zeros_like(weight), torch.zeros_like(weight)) for name, weight in named
        ]
        self._steps, self._recipe, self._optimizer = 0, TrainingConfig(), OptimizerConfig()
        num_rows = FANOUT * self._shape.context_length
        with torch.no_grad():  # load or compile the kernels before the clock starts
            self._head(torch.zeros(num_rows, self._shape.n_embd), torch.zeros(num_rows, dtype=torch.int64))

    def step(self, progress: float) -> int:
        inputs, targets = self.sample_batch(FANOUT, self._shape.context_length)
        nats = self._head(self._network(inputs).flatten(0, 1), targets.flatten())
        torch.autograd.backward(nats / targets.numel())
        self._update(learning_rate_scale(self._recipe, progress))
        return inputs.numel()

    @torch.no_grad()
    def _update(self, scale: float) -> None:
        self._steps += 1
        for name, weight, first_moment, second_moment in self._parameters:
            if weight.grad is None:  # the batch did not use this weight
                continue
            if weight.dim() > 1 and is_matrix(name):
                rows = list(fused_rows(self._network.config, name))
                split = (torch.split(each, rows) for each in (weight, first_moment, weight.grad))
                for matrix, momentum, gradient in zip(*split, strict=True):
                    muon_step(matrix, momentum, gradient, scale, self._optimizer, torch.float32)
            else:
                adamw_step(weight, first_moment, second_moment, weight.grad, self._steps, scale, self._optimizer)
            weight.grad = None

    @torch.inference_mode()
    def bits(self, ids: npt.NDArray[np.int64]) -> float:
        def nats(inputs: Tensor, targets: Tensor) -> Tensor:
            return self._head.nats(self._network(inputs)[0, -len(targets) :], targets)

        return document_bits(ids, self._shape.context_length, self.end_of_text, nats)


def main() -> None:
    """Serve calls to an `AutogradTrainer`."""
    serve_trainer(AutogradTrainer())
