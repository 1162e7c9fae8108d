"""nanoGPT's recipe for a small network on a CPU, as the predecessor of this program had its shape."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NanoGptRecipe:
    """nanoGPT's `train.py` at 4 layers of 256 and a rate for that size, by the clock.

    Progress is the share of the seconds that are gone.
    """

    n_layer: int = 4
    n_head: int = 8
    n_embd: int = 256
    context_length: int = 256
    batch_size: int = 16
    vocab_size: int = 10_240
    lr: float = 1e-3
    warmup_share: float = 0.02  # share of the progress
    min_lr_share: float = 0.1  # what is left of the learning rate at the end
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1  # of matrices
    max_gradient_norm: float = 1.0  # the gradient's norm

    def learning_rate(self, progress: float) -> float:
        """Up over the warm-up, then down half a cosine."""
        if progress < self.warmup_share:
            return self.lr * (progress + 0.005) / (self.warmup_share + 0.005)
        cosine = 0.5 * (1 + math.cos(math.pi * (progress - self.warmup_share) / (1 - self.warmup_share)))
        return self.lr * (self.min_lr_share + (1 - self.min_lr_share) * cosine)

    def training_flops_per_token(self, vocab_size: int) -> float:
        """6 for each parameter of a matrix, the head's among them, and attention; a tokenizer may have fewer words."""
        matrices = 12 * self.n_layer * self.n_embd**2 + vocab_size * self.n_embd
        return 6 * matrices + 6 * self.n_layer * self.n_embd * self.context_length
