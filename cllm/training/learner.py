"""A worker's part of a step: compute a micro-batch, sum gradients by part, update parameters by part.

Every function runs on one thread and depends only on the plan, the data and the shared state, so any worker can do any
micro-batch or part. Gradients are summed in one fixed order, whichever worker computed them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.dataset import Rows, Shard
from cllm.dataset.fim import fill_in_the_middle
from cllm.machine import trim_heap
from cllm.model.config import is_matrix
from cllm.model.gradient import ForwardBackward, build_forward_backward
from cllm.model.loss import IGNORE_INDEX, linear_cross_entropy
from cllm.model.transformer import Transformer, initialise
from cllm.spheres.order import FANOUT, FOUR
from cllm.tokenizer import Tokenizer
from cllm.training.optimizer import adamw_step, muon_step
from cllm.training.plan import Plan, learning_rate_scale, timeline
from cllm.training.state import TensorState


@dataclass(frozen=True)
class TrainingData:
    """The training data of a run: all documents that are not held out, and which of them are `dev`."""

    tokenizer: Tokenizer
    shard: Shard
    dev: npt.NDArray[np.int64]  # document indices, (M,)

    def documents(self, split: str) -> npt.NDArray[np.int64]:
        """Indices (N,) of the documents of `split`: "train", "dev" or "all".

        The train documents are all but the dev ones, or all if that leaves none.
        """
        everything = np.arange(self.shard.num_documents)
        train = np.setdiff1d(everything, self.dev)
        return {"train": train if len(train) else everything, "dev": self.dev, "all": everything}[split]


def model_on_shared_memory(plan: Plan, state: TensorState) -> Transformer:
    """A Transformer whose parameters are views of the shared compute weights."""
    with torch.device("meta"):
        model = Transformer(plan.model)
    model.load_state_dict(state.compute, assign=True)
    return model


class Learner:
    """Computes micro-batches, sums and updates for one worker; the plan can be amended between steps."""

    def __init__(self, plan: Plan, state: TensorState, data: TrainingData) -> None:
        self.plan, self.state, self.data = plan, state, data
        self.model = model_on_shared_memory(plan, state)
        self._gradient: tuple[torch.Size, ForwardBackward] | None = None  # for the last batch's shape
        self._gradient_sums: dict[int, Tensor] = {}
        self._rows: dict[tuple[str, int], Rows] = {}

    def initialise(self) -> None:
        """Draw the initial weights (in fp32, rounded into the compute copy)."""
        with torch.device("meta"):
            model = Transformer(self.plan.model)
        model.load_state_dict(self.state.weights(0), assign=True)
        initialise(model, torch.Generator().manual_seed(self.plan.seed))
        self.cast_weights(0)

    def cast_weights(self, step: int) -> None:
        """Copy the weights after `step` steps into the compute copy."""
        for name, weight in self.state.weights(step).items():
            self.state.compute[name].copy_(weight)

    def batch(self, step: int, micro_batch: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a micro-batch, int64 (rows, T): a function of (plan, step, micro_batch)."""
        step_info = timeline(self.plan)[step]
        phase = self.plan.phases[step_info.phase]
        rows = self._rows_of("all" if step_info.progress >= self.plan.training.dev_from else "train", phase.context)
        first = (step_info.phase_step * self.plan.num_micro_batches + micro_batch) * phase.rows
        generator = np.random.default_rng([self.plan.seed, step, micro_batch])
        batch = np.stack([rows[index] for index in range(first, first + phase.rows)])
        for index in np.flatnonzero(generator.random(phase.rows) < self.plan.training.fim_rate):
            batch[index] = fill_in_the_middle(batch[index], self.data.tokenizer, generator)
        ids = torch.from_numpy(batch)
        targets = ids[:, 1:].clone()
        targets[targets == self.data.tokenizer.special["<|fim_pad|>"]] = IGNORE_INDEX
        return ids[:, :-1], targets

    def compute(self, step: int, micro_batch: int) -> float:
        """Write a micro-batch's gradient into its row of the sphere's memory; its mean loss (nats per token)."""
        inputs, targets = self.batch(step, micro_batch)
        seed = (self.plan.seed * 1_000_003 + step) * self.plan.num_micro_batches + micro_batch
        scale = 1 / (targets.numel() * self.plan.num_micro_batches)
        row = self.state.sphere_rows[micro_batch % FANOUT]
        nats = self._gradient_for(inputs.shape).compute(inputs, targets, scale, row, seed)
        return nats / targets.numel()

    def _gradient_for(self, shape: torch.Size) -> ForwardBackward:
        """The gradient computation for a batch shape; that of the previous phase is freed."""
        if self._gradient is None or self._gradient[0] != shape:
            training, self._gradient = self.plan.training, None  # free the old buffers before new ones are allocated
            trim_heap()
            self._gradient = (
                shape,
                build_forward_backward(
                    self.model,
                    (shape[0], shape[1]),
                    sample_threshold=training.sample_threshold,
                    dropout=training.dropout,
                ),
            )
        return self._gradient[1]

    @torch.no_grad()
    def reduce(self, part_indices: list[int], is_summed: bool = False) -> list[float]:
        """Sum the run's gradients of some parts, in the fixed order; returns the squared norm of each part.

        `is_summed`: row 0 holds the sum already, as in a run on several machines.
        """
        squared_norms = []
        for index in part_indices:
            self._gradient_sums[index] = self._gradient_sum(index, is_summed)
            flat = self._gradient_sums[index].view(-1)
            squared_norms.append(torch.dot(flat, flat).item())
        return squared_norms

    def _gradient_sum(self, index: int, is_summed: bool) -> Tensor:
        rows = self.state.run_parts
        return rows[0][index].clone() if is_summed else sum_rows(rows, index)

    @torch.no_grad()
    def reduce_to_parent(self, part_indices: list[int], position: int) -> None:
        """Sum the gradients of some parts in the worker's sphere into row `position` of the run."""
        for index in part_indices:
            self.state.run_parts[position][index].copy_(sum_rows(self.state.sphere_parts, index))

    @torch.no_grad()
    def update(self, step: int, part_indices: list[int], is_summed: bool = False) -> None:
        """Update some parts, with the gradients that `reduce` summed or, in a replacement worker, summed again."""
        state, config = self.state, self.plan.optimizer
        before, after = state.parameter_state(step), state.parameter_state(step + 1)
        scale = learning_rate_scale(self.plan.training, timeline(self.plan)[step].progress)
        for index in part_indices:
            compute = state.compute_parts[index]
            is_reduced = index in self._gradient_sums
            gradient = self._gradient_sums.pop(index) if is_reduced else self._gradient_sum(index, is_summed)
            weight, first_moment = after.weights[index].copy_(before.weights[index]), after.first_moment[index]
            first_moment.copy_(before.first_moment[index])
            if is_matrix(state.parts[index].name):
                muon_step(weight, first_moment, gradient, scale, config, compute.dtype)
            else:
                second_moment = after.second_moment[index].copy_(before.second_moment[index])
                adamw_step(weight, first_moment, second_moment, gradient, step + 1, scale, config)
            compute.copy_(weight)

    @torch.no_grad()
    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        """Loss (nats) and bytes of the targets in rows `first` to `first + count - 1` of the dev documents."""
        rows = self._rows_of("dev", context)
        ids = torch.from_numpy(np.stack([rows[index] for index in range(first, first + count)]))
        nats = linear_cross_entropy(self.model(ids[:, :-1]), self.model.head_weight.detach(), ids[:, 1:]).item()
        return nats, int(self.data.tokenizer.token_lengths()[ids[:, 1:].numpy()].sum())

    def _rows_of(self, split: str, context: int) -> Rows:
        if (split, context) not in self._rows:
            documents = self.data.documents(split)
            end_of_text = self.data.tokenizer.end_of_text
            self._rows[split, context] = Rows(self.data.shard, documents, context, self.plan.seed, end_of_text)
        return self._rows[split, context]


def sum_rows(rows: Sequence[Sequence[Tensor]], index: int) -> Tensor:
    """The sum of part `index` over the twelve positions, in fp32, in the fixed order (`cllm.spheres.order`).

    `rows[p][index]` is the part's gradient at position p, any shape; the sum has the same shape.
    """
    total = _four(rows, index, 0)
    for first in range(FOUR, FANOUT, FOUR):
        total.add_(_four(rows, index, first))
    return total


def _four(rows: Sequence[Sequence[Tensor]], index: int, first: int) -> Tensor:
    return _pair(rows, index, first).add_(_pair(rows, index, first + 2))


def _pair(rows: Sequence[Sequence[Tensor]], index: int, first: int) -> Tensor:
    return rows[first][index].to(torch.float32, copy=True).add_(rows[first + 1][index])
