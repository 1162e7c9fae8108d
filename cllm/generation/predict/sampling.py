"""Sampling of the next token: filters from logits (V,) to logits (V,), applied in a fixed order, then a draw."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cllm.config import check_bounds, check_choice
from cllm.corpus.newlines import LF
from cllm.generation.predict.prompt_text import as_written
from cllm.jit.compiled import Array

Until = Literal["line", "block", "tokens"]


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Sampling parameters. Temperature 0 takes the most probable token; the other filters are off at their defaults.

    `stop`: texts that a completion ends before; each line end in them stands for the prompt's.
    `until`: the stopping criterion (`guide.stopping`), after at most `max_tokens` tokens. `valid`: the text must be
    syntactically valid at the cursor if its language has a grammar (`guide.search`).
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    until: Until = "tokens"
    valid: bool = False

    def __post_init__(self) -> None:
        check_bounds(
            self,
            max_tokens=(0, 1 << 20),
            temperature=(0, 100),
            top_k=(0, 1 << 20),
            top_p=(0, 1),
            min_p=(0, 1),
            seed=(0, (1 << 31) - 1),
        )
        check_choice("until", self.until, ("line", "block", "tokens"))
        object.__setattr__(self, "stop", tuple(as_written(word, LF) for word in self.stop))


def log_softmax(logits: Array) -> Array:
    """Log-probabilities (V,) of logits (V,), of which some but not all may be -inf."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())  # type: ignore[no-any-return]


def keep_top_k(logits: Array, k: int) -> Array:
    """Set all but the k largest of logits (V,) to -inf; k = 0 keeps all."""
    if not 0 < k < len(logits):
        return logits
    threshold = np.partition(logits, -k)[-k]
    return np.where(logits < threshold, -np.inf, logits)


def keep_top_p(logits: Array, p: float) -> Array:
    """Keep the smallest set of tokens of logits (V,) whose probabilities sum to at least p (Holtzman et al. 2020).

    All other logits become -inf. The most probable token is always kept.
    """
    if p >= 1:
        return logits
    order = np.argsort(-logits, kind="stable")
    probabilities = np.exp(log_softmax(logits[order]))
    is_dropped = np.cumsum(probabilities) - probabilities >= p
    is_dropped[0] = False
    kept = logits.copy()
    kept[order[is_dropped]] = -np.inf
    return kept


def keep_min_p(logits: Array, p: float) -> Array:
    """Set tokens of logits (V,) less probable than p times the most probable to -inf.

    Method: min-p (Nguyen et al. 2024, arXiv:2407.01082).
    """
    if p <= 0:
        return logits
    return np.where(logits < logits.max() + np.log(p), -np.inf, logits)


def sample_token(logits: Array, params: SamplingParams, generator: np.random.Generator) -> int:
    """Sample a token id from logits (V,)."""
    if params.temperature == 0:
        return int(logits.argmax())
    logits = logits.astype(np.float64) / params.temperature
    logits = keep_min_p(keep_top_p(keep_top_k(logits, params.top_k), params.top_p), params.min_p)
    cumulative = np.cumsum(np.exp(logits - logits.max()))
    return int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))
