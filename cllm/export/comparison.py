"""Whether another program says the same as ours: the ids of texts, how likely each word is, and which words come."""

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

# What is less likely is nothing in a float32, as which llama.cpp computes it.
MIN_LOG_PROBABILITY = -60.0


@dataclass
class OutputDifference:
    """From ours to theirs: the largest difference, over so many places of texts, and what theirs wrote."""

    max_difference: float = 0.0
    num_positions: int = 0
    num_generated_tokens: int = 0  # that were written
    num_mismatches: int = 0  # of them, where ours would have taken another one
    max_margin: float = 0.0  # by how much ours held that other one for more likely, at most


def require_same_ids(name: str, ids: Sequence[Sequence[int]], verification_set: VerificationSet) -> None:
    """ExportError: `name` gives a text other ids than ours."""
    for theirs, ours, text in zip(ids, verification_set.ids, verification_set.texts, strict=True):
        if list(theirs) != ours:
            differ = (index for index, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1])
            first = next(differ, min(len(theirs), len(ours)))
            raise ExportError(f"{name} gives a text of {len(text)} characters other ids, from id {first} on")


def compare_outputs(
    runtime: Runtime, output: RuntimeOutput, network: Transformer, verification_set: VerificationSet, tolerance: float
) -> dict[str, Any]:
    """How far a peer is from ours. ExportError: further than `tolerance`, or it has other ids."""
    require_same_ids(runtime.name, output.ids, verification_set)
    if output.texts != verification_set.texts:
        raise ExportError(f"{runtime.name} gives back another text for the ids of one")
    if output.num_infill_tokens != len(verification_set.infill_prompt):
        raise ExportError(
            f"{runtime.name} encodes a gap as {output.num_infill_tokens} ids, "
            f"ours are {len(verification_set.infill_prompt)}"
        )
    total = OutputDifference()
    prompts = [*verification_set.prompts, verification_set.infill_prompt]
    for prompt, generated, scores in zip(prompts, output.generated, output.scores, strict=True):
        add_difference(total, network, prompt, generated, torch.from_numpy(scores), runtime.returns_logits)
    if not total.num_positions:
        raise ExportError(f"{runtime.name} says nothing of how likely words are")
    if total.max_difference > tolerance:
        off = f"{total.max_difference:.2g} off, {tolerance:g} is allowed"
        raise ExportError(f"{runtime.name} computes other {runtime.output_kind}: {off}")
    if total.max_margin > tolerance:
        raise ExportError(f"{runtime.name} writes another text, by {total.max_margin:.2g}; {tolerance:g} is allowed")
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
    """Add what their rows (n, V) say, the last of them by which they chose the `generated` ids one after another."""
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
    """Of some numbers; 0 of none, infinite where one is no number."""
    return float(values.nan_to_num(torch.inf, torch.inf).max()) if values.numel() else 0.0


@torch.inference_mode()
def bits_per_byte(network: Transformer, windows: Sequence[Sequence[int]], token_bytes: Sequence[int]) -> float:
    """What the windows cost, each from its second id on; `token_bytes` are the bytes of each id."""
    bits, size = 0.0, 0
    for window in windows:
        ids = torch.tensor([window])
        log_probs = network.logits(ids[:, :-1])[0].log_softmax(-1).gather(1, ids[0, 1:, None])
        bits -= float(log_probs.sum(dtype=torch.float64)) / math.log(2)
        size += sum(token_bytes[token] for token in window[1:])
    return bits / size
