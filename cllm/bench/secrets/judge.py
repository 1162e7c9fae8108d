"""The process of an engine: reads samples from standard input, and writes what the engine did with them."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

MIN_SPEED_BYTES = 1_000_000  # of text for the measurement of speed


def overwritten(text: str, secrets: Iterable[str]) -> str:
    """`text` with all occurrences of each secret overwritten by asterisks."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "*" * len(secret))
    return text


def judge(redact: Callable[[str], str], samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of samples and hits, the misses by rule, and the speed on the samples as one text."""
    missed: dict[str, int] = {}
    counts = {"positive": 0, "found": 0, "negative": 0, "false": 0}
    for sample in samples:
        clean = redact(sample["text"])
        if sample["secrets"]:
            is_found = not any(secret in clean for secret in sample["secrets"])
            counts["positive"] += 1
            counts["found"] += is_found
            if not is_found:
                missed[sample["rule"]] = missed.get(sample["rule"], 0) + 1
        else:
            counts["negative"] += 1
            counts["false"] += clean != sample["text"]
    return {**counts, "missed": missed, "megabytes_per_second": _speed(redact, samples)}


def _speed(redact: Callable[[str], str], samples: list[dict[str, Any]]) -> float:
    text = "\n".join(sample["text"] for sample in samples)
    text *= -(-MIN_SPEED_BYTES // max(1, len(text)))
    began = time.perf_counter()
    redact(text)
    return len(text.encode()) / 1e6 / (time.perf_counter() - began)


def judge_standard_input(redact: Callable[[str], str]) -> None:
    """Judge an engine on each source of samples: a JSON object of lists on standard input, one of results on output."""
    sources = json.load(sys.stdin)
    json.dump({source: judge(redact, samples) for source, samples in sources.items()}, sys.stdout)
