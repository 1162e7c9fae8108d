"""Comparison of another runtime with cllm: ids of texts, logits or log-probabilities, and generated tokens."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cllm.errors import ExportError
from cllm.export.runtimes import Runtime, RuntimeOutput
from cllm.export.verification_set import VerificationSet
from cllm.model.transformer import Transformer

# Smaller probabilities underflow in float32, in which llama.cpp computes them.
MIN_LOG_PROBABILITY = -60.0


@dataclass
class OutputDifference:
    """Differences between cllm and another runtime: of scores over `num_positions`, and of generated tokens."""

    max_difference: float = 0.0
    num_positions: int = 0
    num_generated_tokens: int = 0
    num_mismatches: int = 0  # generated tokens that are not cllm's most probable token
    max_margin: float = 0.0  # largest log-probability or logit by which cllm prefers its own token


def require_same_ids(name: str, ids: Sequence[Sequence[int]], verification_set: VerificationSet) -> None:
    """Raise ExportError if the ids of a text, computed by `name`, differ from those of the verification set."""
    for theirs, ours, text in zip(ids, verification_set.ids, verification_set.texts, strict=True):
        if list(theirs) != ours:
            differ = (index for index, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1])
            first = next(differ, min(len(theirs), len(ours)))
            raise ExportError(f"{name} encodes a text of {len(text)} characters to other ids, from id {first} on")


def compare_outputs(
    runtime: Runtime, output: RuntimeOutput, network: Transformer, verification_set: VerificationSet, tolerance: float
) -> dict[str, Any]:
    """Return the differences between a runtime's output and cllm's.

    Raises ExportError if ids or texts differ, or scores differ by more than `tolerance`.
    """
    require_same_ids(runtime.name, output.ids, verification_set)
    if output.texts != verification_set.texts:
        raise ExportError(f"{runtime.name} decodes the ids of a text to another text")
    if output.num_infill_tokens != len(verification_set.infill_prompt):
        raise ExportError(
            f"{runtime.name} encodes the infill prompt as {output.num_infill_tokens} ids, "
            f"cllm as {len(verification_set.infill_prompt)}"
        )
    total = OutputDifference()
    prompts = [*verification_set.prompts, verification_set.infill_prompt]
    for prompt, generated, scores in zip(prompts, output.generated, output.scores, strict=True):
        add_difference(total, network, prompt, generated, torch.from_numpy(scores), runtime.returns_logits)
    if not total.num_positions:
        raise ExportError(f"{runtime.name} returned no scores to compare")
    if total.max_difference > tolerance:
        off = f"largest difference {total.max_difference:.2g}, allowed {tolerance:g}"
        raise ExportError(f"{runtime.name} computes other {runtime.output_kind}: {off}")
    if total.max_margin > tolerance:
        raise ExportError(
            f"{runtime.name} generates another text: margin {total.max_margin:.2g}, allowed {tolerance:g}"
        )
    return {**asdict(total), "tolerance": tolerance}


@torch.inference_mode()
def add_difference(
    total: OutputDifference,
    network: Transformer,
    prompt: list[int],
    generated: list[int],
    theirs: Tensor,
    is_logits: bool,
) -> None:
    """Add the differences of one prompt to `total`.

    `theirs` (n, V) float32: the runtime's scores of the last n positions. The last rows are those from which it chose
    the `generated` ids.
    """
    ours = network.logits(torch.tensor([[*prompt, *generated][: len(prompt) + len(generated) - 1]]))[0]
    ours = ours if is_logits else ours.log_softmax(-1)
    ours = ours[len(ours) - len(theirs) :]
    is_reported = (theirs != -torch.inf).any(1)
    is_compared = is_reported.unsqueeze(1) & (is_logits | ~(ours <= MIN_LOG_PROBABILITY))
    chosen = ours[len(ours) - len(generated) :]
    margins = chosen.amax(1) - chosen.gather(1, torch.tensor(generated).unsqueeze(1)).squeeze(1)
    total.max_difference = max(total.max_difference, _largest((ours - theirs)[is_compared].abs()))
    total.num_positions += int(is_reported.sum())
    total.num_generated_tokens += len(generated)
    total.num_mismatches += int((margins > 0).sum())
    total.max_margin = max(total.max_margin, _largest(margins))


def _largest(values: Tensor) -> float:
    """Largest of values (N,); 0 if there are none, infinite if one is not a number."""
    return float(values.nan_to_num(torch.inf, torch.inf).max()) if values.numel() else 0.0


@torch.inference_mode()
def bits_per_byte(network: Transformer, windows: Sequence[Sequence[int]], token_bytes: Sequence[int]) -> float:
    """Return the network's bits per byte on windows of ids, each from its second id on.

    `token_bytes` (V,): the number of bytes of each id.
    """
    bits, size = 0.0, 0
    for window in windows:
        ids = torch.tensor([window])
        log_probs = network.logits(ids[:, :-1])[0].log_softmax(-1).gather(1, ids[0, 1:, None])
        bits -= float(log_probs.sum(dtype=torch.float64)) / math.log(2)
        size += sum(token_bytes[token] for token in window[1:])
    return bits / size
