"""cllm's backend process: the network alone, with and without drafts of the memory, and lines as `cllm complete`."""

import time
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict import prompt as prompt_limits
from cllm.generation.predict.predictors import MAX_DRAFTED
from cllm.generation.predict.sequence import NetworkSequence
from cllm.generation.session import CompletionSession
from cllm.memory.continuation import Continuation
from cllm.spheres.worker import serve


@lru_cache(maxsize=1)
def session_of(model: str, memory: str, prefill_dtype: str, threads: int) -> CompletionSession:
    torch.set_num_threads(threads)
    return CompletionSession(
        Completer.load(Path(model), Path(memory), torch.float32, "mixed", None, getattr(torch, prefill_dtype))
    )


@torch.inference_mode()
def decode(
    model: str, memory: str, prefill_dtype: str, threads: int, prompt: list[int], count: int, drafts: bool
) -> dict[str, Any]:
    """Decode `count` tokens greedily with the network; return the seconds of prefill and decoding, and the tokens.

    With `drafts`, the text itself and the memory, updated with the prompt, propose tokens, which the network verifies.
    """
    completer = session_of(model, memory, prefill_dtype, threads).completer
    assert completer.model is not None and completer.memory is not None
    network = NetworkSequence(completer.model, completer.decoder, completer.prefill_model, MAX_DRAFTED if drafts else 0)
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
    prefill_dtype: str,
    threads: int,
    prefix: str,
    suffix: str,
    typed: str,
    path: str,
    window: list[int],
) -> dict[str, float]:
    """Return the seconds to a finished line (mixture, guide, drafts) in a file just opened, and after `typed` is added.

    Also returned: the seconds to the first token, and to a line without the guide after `typed`. `window`: the number
    of bytes before and after the cursor that are used.
    """
    prompt_limits.MAX_PREFIX_BYTES, prompt_limits.MAX_SUFFIX_BYTES = window
    session, found = session_of(model, memory, prefill_dtype, threads), dict[str, float]()
    before, after = (text.encode("latin-1") for text in (prefix, suffix))
    session.reset()
    cases = {
        "first_token": (b"", SamplingParams(max_tokens=1)),
        "cold": (b"", SamplingParams(max_tokens=48, until="line", valid=True)),
        "after_typing": (typed.encode("latin-1"), SamplingParams(max_tokens=48, until="line", valid=True)),
        "after_typing_without_guide": (typed.encode("latin-1"), SamplingParams(max_tokens=48, until="line")),
    }
    for name, (more, params) in cases.items():
        if name == "cold":
            session.reset()
        began = time.perf_counter()
        session.complete(Prompt(prefix=before + more, suffix=after, path=path), params)
        found[name] = time.perf_counter() - began
    return found


def main() -> None:
    serve({"decode": decode, "line": line})
