"""Decoding speed of each expert, and of the mixture with and without drafts, which must not change the text."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.completion import stream
from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.predict.predictors import MAX_DRAFTED

NUM_TOKENS = 64
REPEATS = 3  # the fastest counts: other load on the machine can only slow a run down


def decode_speed(completer: Completer, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Return tokens/s of greedy decoding after the prompts, on one thread, and whether drafts left all texts equal."""
    cases = {
        "mixed": (completer, MAX_DRAFTED),
        "mixed_without_drafts": (completer, 0),
        "model": (replace(completer, memory=None), 0),
        "memory": (replace(completer, network=None), 0),
    }
    seconds, tokens = dict.fromkeys(cases, 0.0), dict.fromkeys(cases, 0)
    is_same_text = True
    for prompt in prompts:
        texts = {}
        for name, (each, max_drafted) in cases.items():
            fastest, count, texts[name] = time_decoding(each, prompt, max_drafted)
            seconds[name] += fastest
            tokens[name] += count
        is_same_text = is_same_text and texts["mixed"] == texts["mixed_without_drafts"]
    return {
        "tokens_per_second": {name: tokens[name] / seconds[name] if seconds[name] else None for name in cases},
        "are_drafts_lossless": is_same_text,
    }


def time_decoding(completer: Completer, prompt: Prompt, max_drafted: int) -> tuple[float, int, str]:
    """Return seconds (fastest run, without prefill), number of tokens and text of a prompt's completion."""
    encoded = completer.encode_prompt(prompt, NUM_TOKENS)
    fastest = float("inf")
    with completer.predictor(encoded, max_drafted) as predictor:
        for _ in range(REPEATS):
            began = time.perf_counter()
            *_, completion = stream(DecodeState(predictor, completer.tokenizer, SamplingParams(max_tokens=NUM_TOKENS)))
            fastest = min(fastest, time.perf_counter() - began)
    return fastest, len(completion.tokens), completion.text
