"""cllm's backend process: the network alone, with and without drafts of the memory, and lines as `cllm complete`."""

import time
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from cllm.evaluation.rest_of_line import MAX_LINE_TOKENS
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict.predictors import MAX_DRAFTED
from cllm.generation.predict.prompt import Window
from cllm.generation.predict.sequence import NetworkSequence
from cllm.generation.session import CompletionSession
from cllm.memory.continuation import Continuation
from cllm.spheres.worker import serve

DELETED_BYTES = 5


@lru_cache(maxsize=1)
def session_of(model: str, memory: str) -> CompletionSession:
    return CompletionSession(Completer.load(Path(model), Path(memory)))


def decode(model: str, memory: str, prompt: list[int], count: int, drafts: bool) -> dict[str, Any]:
    """Decode `count` tokens greedily with the network; return the seconds of prefill and decoding, and the tokens.

    With `drafts`, the text itself and the memory, updated with the prompt, propose tokens, which the network verifies.
    """
    completer = session_of(model, memory).completer
    assert completer.network is not None and completer.memory is not None
    network = NetworkSequence(completer.network, MAX_DRAFTED if drafts else 0)
    began = time.perf_counter()
    for _ in network.prefill(prompt):
        pass
    prefill_seconds, tokens = time.perf_counter() - began, list[int]()
    special = set(completer.tokenizer.special.values())
    with completer.memory.rollback_on_exit(1 << 16) if drafts else nullcontext():
        text = Continuation(completer.memory, [id_ for id_ in prompt if id_ not in special]) if drafts else None
        began = time.perf_counter()
        while len(tokens) < count:
            token = int(network.logits.argmax())
            tokens.append(token)
            if text is not None and token not in special:
                text.accept(token)
            is_asked = text is not None and not network.is_drafted(token)
            network.accept(token, text.draft(MAX_DRAFTED) if is_asked and text is not None else ())
        seconds = time.perf_counter() - began
    return {
        "prefill_seconds": prefill_seconds,
        "num_prompt_tokens": len(prompt),
        "decode_seconds": seconds,
        "tokens": tokens,
    }


def line(
    model: str,
    memory: str,
    prefix: str,
    suffix: str,
    expected: str,
    path: str,
    window: list[int],
) -> dict[str, float]:
    """Return the seconds to a finished line in a file just opened, and after the first byte of `expected` is typed.

    Also returned: the seconds to the first token, to a line without the guide after typing, and to a line after
    DELETED_BYTES before the cursor are deleted; and whether the first line is exactly `expected`, the rest of the line
    (1.0 or 0.0). `window`: bytes before and after the cursor that are read.
    """
    session, found = session_of(model, memory), dict[str, float]()
    before, after, rest = (text.encode("latin-1") for text in (prefix, suffix, expected))
    guided = SamplingParams(max_tokens=MAX_LINE_TOKENS, until="line", valid=True)
    cases = {
        "first_token": (before, SamplingParams(max_tokens=1)),
        "cold": (before, guided),
        "after_typing": (before + rest[:1], guided),
        "after_typing_without_guide": (before + rest[:1], replace(guided, valid=False)),
        "after_deletion": (before[:-DELETED_BYTES], guided),
    }
    for name, (text, params) in cases.items():
        if name in ("first_token", "cold"):
            session.reset()
        prompt = Prompt(
            prefix=text,
            suffix=after,
            path=path,
            window=Window(prefix_bytes=window[0], suffix_bytes=window[1]),
        )
        began = time.perf_counter()
        (completion,) = session.complete(prompt, params)
        found[name] = time.perf_counter() - began
        if name == "cold":
            found["exact_match"] = float(completion.text.encode("utf-8", "surrogateescape").rstrip() == rest.rstrip())
    return found


def main() -> None:
    serve({"decode": decode, "line": line})
