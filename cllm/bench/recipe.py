"""nanoGPT's recipe for a small network on a CPU, as the predecessor of this program had its shape."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """nanoGPT's `train.py` at 4 layers of 256 and a rate for that size, by the clock.

    Progress is the share of the seconds that are gone.
    """

    n_layer: int = 4
    n_head: int = 8
    n_embd: int = 256
    context: int = 256
    batch: int = 16
    vocab_size: int = 10_240
    lr: float = 1e-3
    warmup: float = 0.02  # share of the progress
    floor: float = 0.1  # what is left of the learning rate at the end
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1  # of matrices
    clip: float = 1.0  # the gradient's norm

    def learning_rate(self, progress: float) -> float:
        """Up over the warm-up, then down half a cosine."""
        if progress < self.warmup:
            return self.lr * (progress + 0.005) / (self.warmup + 0.005)
        down = 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))
        return self.lr * (self.floor + (1 - self.floor) * down)

    def training_flops_per_token(self, vocab_size: int) -> float:
        """6 for each parameter of a matrix, the head's among them, and attention; a tokenizer may have fewer words."""
        matrices = 12 * self.n_layer * self.n_embd**2 + vocab_size * self.n_embd
        return 6 * matrices + 6 * self.n_layer * self.n_embd * self.context
