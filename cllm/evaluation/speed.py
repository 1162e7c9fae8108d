"""How fast text is written, by each expert; and by both together with and without drafts, which must not change it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.completion import stream
from cllm.generation.predictors import MOST_DRAFTED
from cllm.generation.walk import Walk

TOKENS = 64
REPEATS = 3  # of which the fastest counts: what else runs on a machine only makes it slower


def writing_speed(writer: Writer, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Tokens a second after some prompts, greedily, one thread; and whether drafts left all texts as they were."""
    ways = {
        "mixed": (writer, MOST_DRAFTED),
        "mixed_without_drafts": (writer, 0),
        "model": (replace(writer, memory=None), 0),
        "memory": (replace(writer, model=None), 0),
    }
    seconds, tokens = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
    same = True
    for prompt in prompts:
        texts = {}
        for name, (each, most_drafted) in ways.items():
            fastest, count, texts[name] = write(each, prompt, most_drafted)
            seconds[name] += fastest
            tokens[name] += count
        same = same and texts["mixed"] == texts["mixed_without_drafts"]
    return {
        "tokens_per_second": {name: tokens[name] / seconds[name] if seconds[name] else None for name in ways},
        "drafts_change_nothing": same,
    }


def write(writer: Writer, prompt: Prompt, most_drafted: int) -> tuple[float, int, str]:
    """The fewest seconds, the tokens and the text of a prompt's completion, without the reading of the prompt."""
    laid = writer.lay_out(prompt, TOKENS)
    fastest = float("inf")
    with writer.predictor(laid, most_drafted) as predictor:
        for _ in range(REPEATS):
            began = time.perf_counter()
            *_, completion = stream(Walk(predictor, writer.tokenizer, SamplingParams(max_tokens=TOKENS)))
            fastest = min(fastest, time.perf_counter() - began)
    return fastest, len(completion.tokens), completion.text
