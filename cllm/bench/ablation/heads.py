"""Output heads, which differ in the number of logits that they compute per token.

Each is built from `counts` (V,) int64, the frequency of each of V words in the training data, and the width D.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllm.model import head as model_head
from cllm.model.loss import linear_cross_entropy
from cllm.model.shared_tensor import as_tensor
from cllm.training.plan import TrainingConfig

NUM_CLASSES = 12
INIT_STD = 0.002  # standard deviation of initial weights
NUM_SAMPLES = 1024  # sampled words that represent all others


def initial_weight(num_words: int, width: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(num_words, width) * INIT_STD)


class OutputHead(nn.Module, ABC):
    """Base class of the heads."""

    @abstractmethod
    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Training loss: the summed nats (scalar) of targets (N,) given hidden states (N, D)."""

    @abstractmethod
    def nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Exact summed negative log-likelihood (scalar) of targets (N,) given hidden states (N, D)."""


class Dense(OutputHead):
    """Computes logits (N, V) of all tokens at once, and as many gradient values; shapes as in `OutputHead`."""

    def __init__(self, counts: Tensor, width: int) -> None:
        super().__init__()
        self.weight = initial_weight(len(counts), width)

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(hidden, self.weight), targets, reduction="sum")

    def nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(hidden, self.weight).float(), targets, reduction="sum")


class Chunked(Dense):
    """Computes all logits for 128 tokens at a time, and their gradient while they are in the processor's cache.

    Shapes as in `OutputHead`.
    """

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return linear_cross_entropy(hidden.unsqueeze(0), self.weight.to(hidden.dtype), targets.unsqueeze(0))


class SampledGradientCrossEntropy(torch.autograd.Function):
    """Summed nats of targets (N,) given hidden (N, D) and weight (V, D), with the trainer's sampled gradient."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, head: model_head.Head) -> Tensor:
        """`head` must be built from the same weight (V, D)."""
        d_hidden, d_weight = torch.empty_like(hidden), torch.empty_like(weight)
        rng = np.random.default_rng(int(torch.randint(1 << 31, ())))
        nats = head.compute(hidden.detach(), targets.numpy(), 1.0, rng, d_hidden, as_tensor(d_weight))
        ctx.save_for_backward(d_hidden, d_weight)
        return torch.tensor(nats, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * gradients[0], d_weight * gradients[0], None, None


class SampledGradient(Dense):
    """As `Chunked`, but most words with a negligible probability are left out of the gradient.

    Shapes as in `OutputHead`.
    """

    sample_threshold = TrainingConfig().sample_threshold

    def __init__(self, counts: Tensor, width: int) -> None:
        super().__init__(counts, width)
        self._head: model_head.Head | None = None  # built for the number of rows of the first call

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        self._head = self._head or model_head.Head(self.weight.detach(), len(hidden), self.sample_threshold)
        loss: Tensor = SampledGradientCrossEntropy.apply(hidden, self.weight, targets, self._head)  # type: ignore[no-untyped-call]
        return loss


class SampledSoftmax(Dense):
    """Compares the target with words sampled for the whole batch by frequency, which represent all other words.

    Importance sampling (Bengio & Senecal 2008). Only training is cheaper: prediction needs all logits.
    Shapes as in `OutputHead`.
    """

    def __init__(self, counts: Tensor, width: int) -> None:
        super().__init__(counts, width)
        proposal = (counts + 1) / (counts + 1).sum()
        self.register_buffer("_proposal", proposal)
        self.register_buffer("_log_expected_counts", (NUM_SAMPLES * proposal).log())

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        sampled = torch.multinomial(cast(Tensor, self._proposal), NUM_SAMPLES, replacement=True)
        expected = cast(Tensor, self._log_expected_counts)
        target_logits = (hidden * self.weight[targets]).sum(-1, dtype=torch.float32)
        sampled_logits = F.linear(hidden, self.weight[sampled]).float() - expected[sampled]
        sampled_logits = sampled_logits.masked_fill(sampled == targets.unsqueeze(1), -torch.inf)
        return (torch.logaddexp(sampled_logits.logsumexp(1), target_logits) - target_logits).sum()


class Factored(OutputHead):
    """Predicts one of 12 classes of words of similar frequency, then the word (Goodman 2001, arXiv:cs/0108006).

    Shapes as in `OutputHead`.
    """

    def __init__(self, counts: Tensor, width: int) -> None:
        super().__init__()
        words_by_frequency = counts.argsort(descending=True, stable=True)
        sizes = [len(part) for part in torch.tensor_split(words_by_frequency, NUM_CLASSES)]
        self.classes = initial_weight(NUM_CLASSES, width)
        self.words = nn.ParameterList([initial_weight(size, width) for size in sizes])
        class_of_word, index_in_class = torch.empty_like(words_by_frequency), torch.empty_like(words_by_frequency)
        class_of_word[words_by_frequency] = torch.repeat_interleave(torch.arange(NUM_CLASSES), torch.tensor(sizes))
        index_in_class[words_by_frequency] = torch.cat([torch.arange(size) for size in sizes])
        self.register_buffer("_class_of", class_of_word)
        self.register_buffer("_index_in_class", index_in_class)

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        classes, indices_in_class = cast(Tensor, self._class_of)[targets], cast(Tensor, self._index_in_class)[targets]
        nats = F.cross_entropy(F.linear(hidden, self.classes).float(), classes, reduction="sum")
        for number, weight in enumerate(self.words):
            rows_of_class = (classes == number).nonzero().squeeze(1)
            logits = F.linear(hidden[rows_of_class], weight).float()
            nats = nats + F.cross_entropy(logits, indices_in_class[rows_of_class], reduction="sum")
        return nats

    def nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return self(hidden, targets)  # type: ignore[no-any-return]


class Adaptive(OutputHead):
    """PyTorch's adaptive softmax (Grave et al. 2017, arXiv:1609.04309): rare words in clusters, with fewer channels.

    Shapes as in `OutputHead`.
    """

    def __init__(self, counts: Tensor, width: int) -> None:
        super().__init__()
        num_words = len(counts)
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(width, num_words, [num_words // 8, num_words // 2], div_value=2.0)
        for name, weight in self.softmax.named_parameters():
            if name == "head.weight" or name.endswith(".1.weight"):  # the logit layers, not the projections
                nn.init.normal_(weight, 0.0, INIT_STD)
        words_by_frequency = counts.argsort(descending=True, stable=True)
        self.register_buffer("_rank_of", words_by_frequency.argsort())

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return -cast(Tensor, self.softmax(hidden, cast(Tensor, self._rank_of)[targets]).output).sum()

    def nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return self(hidden, targets)  # type: ignore[no-any-return]


HEADS: dict[str, Callable[[Tensor, int], OutputHead]] = {
    "dense": Dense,
    "dense in chunks": Chunked,
    "sampled gradient": SampledGradient,
    "sampled": SampledSoftmax,
    "12 classes": Factored,
    "adaptive": Adaptive,
}
