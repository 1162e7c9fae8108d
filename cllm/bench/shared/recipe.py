"""nanoGPT's recipe for a small network on a CPU, in the shape that this program's predecessor had."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NanoGptRecipe:
    """nanoGPT's `train.py` at 4 layers of width 256, with a learning rate for that size and a schedule by time.

    Progress is the elapsed share of the seconds (0 to 1).
    """

    n_layer: int = 4
    n_head: int = 8
    n_embd: int = 256
    context_length: int = 256
    batch_size: int = 16
    vocab_size: int = 10_240
    lr: float = 1e-3
    warmup_share: float = 0.02  # share of the training time
    min_lr_share: float = 0.1  # learning rate at the end, as a share of `lr`
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1  # of matrices
    max_gradient_norm: float = 1.0  # gradients are clipped to this norm

    def learning_rate(self, progress: float) -> float:
        """Return the learning rate: linear warm-up, then cosine decay."""
        if progress < self.warmup_share:
            return self.lr * (progress + 0.005) / (self.warmup_share + 0.005)
        cosine = 0.5 * (1 + math.cos(math.pi * (progress - self.warmup_share) / (1 - self.warmup_share)))
        return self.lr * (self.min_lr_share + (1 - self.min_lr_share) * cosine)

    def training_flops_per_token(self, vocab_size: int) -> float:
        """Return FLOPs per token: 6 per parameter of the matrices (including the head), plus attention.

        `vocab_size` is the tokenizer's, which may be smaller than the recipe's.
        """
        matrices = 12 * self.n_layer * self.n_embd**2 + vocab_size * self.n_embd
        return 6 * matrices + 6 * self.n_layer * self.n_embd * self.context_length
