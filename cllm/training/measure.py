"""Measures the training speed of a network on this machine by timing a few real micro-batches and updates.

All workers measure at the same time, one thread each, so that shared limits (memory bandwidth, clock) are included.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from cllm.model.config import TransformerConfig, is_matrix
from cllm.model.gradient import build_forward_backward
from cllm.model.transformer import Transformer, initialise
from cllm.spheres.order import FANOUT
from cllm.training.layout import PART_ELEMENTS, parts, vector_size
from cllm.training.learner import sum_rows
from cllm.training.optimizer import adamw_step, muon_step
from cllm.training.plan import OptimizerConfig, TrainingConfig

# Timed calls of each kind, after one warm-up call: at most 5, and none is started after 1 s.
MAX_SAMPLES, MAX_SECONDS = 5, 1.0


def measure(
    model: dict[str, Any], dtype: str, shapes: list[tuple[int, int]], training: dict[str, Any]
) -> dict[str, Any]:
    """The fields of a `Timing`, measured in this process."""
    config = TransformerConfig(**model)
    network = Transformer(config)
    initialise(network, torch.Generator().manual_seed(0))
    compute = getattr(torch, dtype)
    network.to(compute)
    micro_batch_seconds = [
        _median_seconds(_micro_batch(network, context, rows, TrainingConfig(**training))) for context, rows in shapes
    ]
    return {"micro_batch_seconds": micro_batch_seconds, "update_seconds": _update_seconds(config, compute)}


def measure_sum_bandwidth(model: dict[str, Any], dtype: str) -> float:
    """Bytes of gradient rows per second that this process sums, for a network's vector size."""
    size = vector_size(TransformerConfig(**model))
    rows = torch.zeros(FANOUT, size, dtype=getattr(torch, dtype))
    offsets = range(0, size - PART_ELEMENTS, PART_ELEMENTS) or (0,)

    def sum_all() -> None:
        for offset in offsets:
            sum_rows([[row[offset : offset + PART_ELEMENTS]] for row in rows], 0)

    return len(offsets) * FANOUT * min(size, PART_ELEMENTS) * rows.element_size() / _median_seconds(sum_all)


def _median_seconds(call: Callable[[], object]) -> float:
    call()
    samples: list[float] = []
    while len(samples) < MAX_SAMPLES and sum(samples) < MAX_SECONDS:
        began = time.perf_counter()
        call()
        samples.append(time.perf_counter() - began)
    return statistics.median(samples)


def _micro_batch(network: Transformer, context: int, rows: int, training: TrainingConfig) -> Callable[[], object]:
    ids = torch.randint(0, network.config.vocab_size, (rows, context + 1), generator=torch.Generator().manual_seed(1))
    gradients = {name: torch.empty_like(parameter) for name, parameter in network.named_parameters()}
    gradient = build_forward_backward(
        network, (rows, context), sample_threshold=training.sample_threshold, dropout=training.dropout
    )
    return lambda: gradient.compute(ids[:, :-1], ids[:, 1:], 1.0, gradients, 0)


@torch.no_grad()
def _update_seconds(config: TransformerConfig, dtype: torch.dtype) -> float:
    """Seconds to update all parts: block 0 is timed and multiplied by the number of blocks, other parts are added."""
    optimizer = OptimizerConfig()
    seconds = 0.0
    for part in parts(config):
        if part.name.startswith("blocks.") and not part.name.startswith("blocks.0."):
            continue
        weight, first_moment, second_moment = (torch.zeros(part.shape) for _ in range(3))
        gradient = torch.ones_like(weight)
        began = time.perf_counter()
        if is_matrix(part.name):
            muon_step(weight, first_moment, gradient, 1.0, optimizer, dtype)
        else:
            adamw_step(weight, first_moment, second_moment, gradient, 1, 1.0, optimizer)
        seconds += (time.perf_counter() - began) * (config.n_layer if part.name.startswith("blocks.") else 1)
    return seconds
