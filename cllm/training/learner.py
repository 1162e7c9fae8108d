"""What a worker does for a step: compute a position, sum a parameter's gradients, update it.

Every function here works on one thread and reads nothing but the plan, the data and the shared state, so a position
or a parameter can be anybody's. Sums over twelve positions have one order, whoever computed them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.dataset import Rows, Shard
from cllm.dataset.fim import fill_in_the_middle
from cllm.machine import return_memory
from cllm.model.config import is_matrix
from cllm.model.gradient import Gradient, gradient_of
from cllm.model.loss import IGNORED, linear_cross_entropy
from cllm.model.transformer import Transformer, initialise
from cllm.spheres.order import FOUR, POSITIONS
from cllm.tokenizer import Tokenizer
from cllm.training.optimizer import update_matrix, update_other
from cllm.training.plan import Plan, learning_rate_scale, timeline
from cllm.training.state import TensorState


@dataclass(frozen=True)
class Data:
    """What a run learns from: the documents that are not held out, and which of them are `dev`."""

    tokenizer: Tokenizer
    shard: Shard
    dev: npt.NDArray[np.int64]  # numbers of documents, (M,)

    def documents(self, which: str) -> npt.NDArray[np.int64]:
        """Numbers of the `early` documents (all but dev; all where nothing else is left), the `dev` ones, or `all`."""
        everything = np.arange(self.shard.num_documents)
        early = np.setdiff1d(everything, self.dev)
        return {"early": early if len(early) else everything, "dev": self.dev, "all": everything}[which]


def build_model(plan: Plan, state: TensorState) -> Transformer:
    """A Transformer whose parameters are the shared memory."""
    with torch.device("meta"):
        model = Transformer(plan.model)
    model.load_state_dict(state.compute, assign=True)
    return model


class Learner:
    """One worker's hands; the plan may be amended between steps."""

    def __init__(self, plan: Plan, state: TensorState, data: Data) -> None:
        self.plan, self.state, self.data = plan, state, data
        self.model = build_model(plan, state)
        self._gradient: tuple[torch.Size, Gradient] | None = None  # for the last batch's shape
        self._summed: dict[int, Tensor] = {}
        self._rows: dict[tuple[str, int], Rows] = {}

    def initialise(self) -> None:
        """Draw the first weights (in fp32, rounded into the compute copy)."""
        with torch.device("meta"):
            model = Transformer(self.plan.model)
        model.load_state_dict(self.state.weights(0), assign=True)
        initialise(model, torch.Generator().manual_seed(self.plan.seed))
        self.round_weights(0)

    def round_weights(self, step: int) -> None:
        """Bring the compute copy up to date with the weights after so many steps."""
        for name, weight in self.state.weights(step).items():
            self.state.compute[name].copy_(weight)

    def batch(self, step: int, position: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets (rows, T) of one position: a function of the plan, the step and the position."""
        moment = timeline(self.plan)[step]
        phase = self.plan.phases[moment.phase]
        rows = self._rows_of("all" if moment.progress >= self.plan.recipe.dev_from else "early", phase.context)
        first = (moment.index * self.plan.positions + position) * phase.rows
        generator = np.random.default_rng([self.plan.seed, step, position])
        batch = np.stack([rows[index] for index in range(first, first + phase.rows)])
        for index in np.flatnonzero(generator.random(phase.rows) < self.plan.recipe.fim_rate):
            batch[index] = fill_in_the_middle(batch[index], self.data.tokenizer, generator)
        ids = torch.from_numpy(batch)
        targets = ids[:, 1:].clone()
        targets[targets == self.data.tokenizer.special["<|fim_pad|>"]] = IGNORED
        return ids[:, :-1], targets

    def compute(self, step: int, position: int) -> float:
        """Write a position's gradient into its row of the sphere; its mean loss (nats a token)."""
        inputs, targets = self.batch(step, position)
        seed = (self.plan.seed * 1_000_003 + step) * self.plan.positions + position
        scale = 1 / (targets.numel() * self.plan.positions)
        row = self.state.gradients[position % POSITIONS]
        nats = self._gradient_for(inputs.shape).compute(inputs, targets, scale, row, seed)
        return nats / targets.numel()

    def _gradient_for(self, shape: torch.Size) -> Gradient:
        """What computes batches of a shape; that of the phase before is given up."""
        if self._gradient is None or self._gradient[0] != shape:
            recipe, self._gradient = self.plan.recipe, None  # so that there is never room for two
            return_memory()
            self._gradient = (
                shape,
                gradient_of(self.model, (shape[0], shape[1]), ticket=recipe.ticket, dropout=recipe.dropout),
            )
        return self._gradient[1]

    @torch.no_grad()
    def reduce(self, parts: list[int], is_summed: bool = False) -> list[float]:
        """Sum the positions' gradients of some parts, in the one order; the squared norm of each.

        `is_summed`: the first row is their sum already, as it is of many machines.
        """
        squares = []
        for index in parts:
            self._summed[index] = self._sum_of(index, is_summed)
            flat = self._summed[index].view(-1)
            squares.append(torch.dot(flat, flat).item())
        return squares

    def _sum_of(self, index: int, is_summed: bool) -> Tensor:
        rows = self.state.gradient_parts
        return rows[0][index].clone() if is_summed else summed(rows, index)

    @torch.no_grad()
    def gather(self, parts: list[int], position: int) -> None:
        """Sum the gradients of some parts in the worker's sphere, as what its control node's position is above."""
        for index in parts:
            self.state.gradient_parts[position][index].copy_(summed(self.state.own_gradient_parts, index))

    @torch.no_grad()
    def update(self, step: int, parts: list[int], is_summed: bool = False) -> None:
        """Change some parts by the gradients that `reduce` summed, or another worker that has ended since."""
        state, config = self.state, self.plan.optimizer
        before, after = state.after(step), state.after(step + 1)
        scale = learning_rate_scale(self.plan.recipe, timeline(self.plan)[step].progress)
        for index in parts:
            compute = state.compute_parts[index]
            known = index in self._summed
            gradient = self._summed.pop(index) if known else self._sum_of(index, is_summed)
            weight, first = after.weights[index].copy_(before.weights[index]), after.first[index]
            first.copy_(before.first[index])
            if is_matrix(state.parts[index].name):
                update_matrix(weight, first, gradient, scale, config, compute.dtype)
            else:
                second = after.second[index].copy_(before.second[index])
                update_other(weight, first, second, gradient, step + 1, scale, config)
            compute.copy_(weight)

    @torch.no_grad()
    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        """Nats and bytes of the targets in some rows of the dev documents."""
        rows = self._rows_of("dev", context)
        ids = torch.from_numpy(np.stack([rows[index] for index in range(first, first + count)]))
        nats = linear_cross_entropy(self.model(ids[:, :-1]), self.model.head_weight.detach(), ids[:, 1:]).item()
        return nats, int(self.data.tokenizer.token_lengths()[ids[:, 1:].numpy()].sum())

    def _rows_of(self, which: str, context: int) -> Rows:
        if (which, context) not in self._rows:
            documents = self.data.documents(which)
            end_of_text = self.data.tokenizer.end_of_text
            self._rows[which, context] = Rows(self.data.shard, documents, context, self.plan.seed, end_of_text)
        return self._rows[which, context]


def summed(rows: Sequence[Sequence[Tensor]], index: int) -> Tensor:
    """The sum of a part over twelve positions, in fp32, in the one order (`cllm.spheres.order`)."""
    total = _four(rows, index, 0)
    for first in range(FOUR, POSITIONS, FOUR):
        total.add_(_four(rows, index, first))
    return total


def _four(rows: Sequence[Sequence[Tensor]], index: int, first: int) -> Tensor:
    return _pair(rows, index, first).add_(_pair(rows, index, first + 2))


def _pair(rows: Sequence[Sequence[Tensor]], index: int, first: int) -> Tensor:
    return rows[first][index].to(torch.float32, copy=True).add_(rows[first + 1][index])
