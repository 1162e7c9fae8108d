"""The loss of some texts and its gradient by autograd: the slow twin of `gradient.py`, which also knows dropout."""

import torch
from torch import Tensor

from cllm.model.gradient import Gradient, Named
from cllm.model.loss import linear_cross_entropy
from cllm.model.transformer import Transformer


class Autograd:
    """Of all parameters of a network; `dropout` is the share of each block's additions that is left out."""

    def __init__(self, model: Transformer, dropout: float) -> None:
        self._model, self._dropout = model, dropout

    def compute(self, ids: Tensor, targets: Tensor, scale: float, gradients: Named, seed: int) -> float:
        """As `Gradient.compute`, with every word; `seed` chooses what is left out."""
        torch.manual_seed(seed)
        hidden = self._model(ids, dropout=self._dropout)
        nats = linear_cross_entropy(hidden, self._model.head_weight, targets)
        found = torch.autograd.grad(nats * scale, list(self._model.parameters()))
        with torch.no_grad():
            torch._foreach_copy_([gradients[name] for name, _ in self._model.named_parameters()], found)
        return float(nats.item())


def gradient_of(model: Transformer, shape: tuple[int, int], dropout: float, ticket: float) -> Gradient | Autograd:
    """The fastest that there is, for texts and tokens `shape`; `ticket` as in `head.py`."""
    if dropout:
        return Autograd(model, dropout)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return Gradient(model.config, weights, shape, ticket)
