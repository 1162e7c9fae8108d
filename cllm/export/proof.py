"""Whether another program says the same as ours: the ids of texts, how likely each word is, and which words come."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cllm.errors import ExportError
from cllm.export.material import Material
from cllm.export.peers import Peer, Said
from cllm.model.transformer import Transformer

LEAST = -60.0  # log-probabilities: what is less likely is nothing in a float32, as which llama.cpp computes it


@dataclass
class Distance:
    """From ours to theirs: the largest difference, over so many places of texts, and what theirs wrote."""

    difference: float = 0.0
    places: int = 0
    tokens: int = 0  # that were written
    others: int = 0  # of them, where ours would have taken another one
    given_up: float = 0.0  # by how much ours held that other one for more likely, at most


def require_same_ids(name: str, ids: Sequence[Sequence[int]], material: Material) -> None:
    """ExportError: `name` gives a text other ids than ours."""
    for theirs, ours, text in zip(ids, material.ids, material.texts, strict=True):
        if list(theirs) != ours:
            differ = (place for place, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1])
            first = next(differ, min(len(theirs), len(ours)))
            raise ExportError(f"{name} gives a text of {len(text)} characters other ids, from id {first} on")


def compare(peer: Peer, said: Said, network: Transformer, material: Material, bound: float) -> dict[str, Any]:
    """How far a peer is from ours. ExportError: further than `bound`, or it has other ids."""
    require_same_ids(peer.name, said.ids, material)
    if said.texts != material.texts:
        raise ExportError(f"{peer.name} gives back another text for the ids of one")
    if said.gap != len(material.middle):
        raise ExportError(f"{peer.name} lays out a gap as {said.gap} ids, ours are {len(material.middle)}")
    total = Distance()
    prompts = [*material.prompts, material.middle]
    for prompt, written, rows in zip(prompts, said.written, said.rows, strict=True):
        add_distance(total, network, prompt, written, torch.from_numpy(rows), peer.says_logits)
    if not total.places:
        raise ExportError(f"{peer.name} says nothing of how likely words are")
    if total.difference > bound:
        off = f"{total.difference:.2g} off, {bound:g} is allowed"
        raise ExportError(f"{peer.name} computes other {peer.compared}: {off}")
    if total.given_up > bound:
        raise ExportError(f"{peer.name} writes another text, by {total.given_up:.2g}; {bound:g} is allowed")
    return {**asdict(total), "bound": bound}


@torch.inference_mode()
def add_distance(
    total: Distance, network: Transformer, prompt: list[int], written: list[int], theirs: Tensor, is_logits: bool
) -> None:
    """Add what their rows (n, V) say, the last of them by which they chose the `written` ids one after another."""
    ours = network.logits(torch.tensor([[*prompt, *written][: len(prompt) + len(written) - 1]]))[0]
    ours = ours if is_logits else ours.log_softmax(-1)
    ours = ours[len(ours) - len(theirs) :]
    said = (theirs != -torch.inf).any(1)
    seen = said.unsqueeze(1) & (is_logits | ~(ours <= LEAST))
    chosen = ours[len(ours) - len(written) :]
    given_up = chosen.amax(1) - chosen.gather(1, torch.tensor(written).unsqueeze(1)).squeeze(1)
    total.difference = max(total.difference, _largest((ours - theirs)[seen].abs()))
    total.places += int(said.sum())
    total.tokens += len(written)
    total.others += int((given_up > 0).sum())
    total.given_up = max(total.given_up, _largest(given_up))


def _largest(values: Tensor) -> float:
    """Of some numbers; 0 of none, infinite where one is no number."""
    return float(values.nan_to_num(torch.inf, torch.inf).max()) if values.numel() else 0.0


@torch.inference_mode()
def bits_per_byte(network: Transformer, windows: Sequence[Sequence[int]], token_bytes: Sequence[int]) -> float:
    """What the windows cost, each from its second id on; `token_bytes` are the bytes of each id."""
    bits, size = 0.0, 0
    for window in windows:
        ids = torch.tensor([window])
        chances = network.logits(ids[:, :-1])[0].log_softmax(-1).gather(1, ids[0, 1:, None])
        bits -= float(chances.sum(dtype=torch.float64)) / math.log(2)
        size += sum(token_bytes[token] for token in window[1:])
    return bits / size
