"""Ours, in a process of its own: the network alone, with and without drafts of the memory; and lines as shipped."""

import time
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation import prompt as windows
from cllm.generation.network import NetworkText
from cllm.generation.predictors import MOST_DRAFTED
from cllm.generation.session import Session
from cllm.memory.continuation import Continuation
from cllm.spheres.worker import serve


@lru_cache(maxsize=1)
def session_of(model: str, memory: str, reading: str, threads: int) -> Session:
    torch.set_num_threads(threads)
    return Session(Writer.load(Path(model), Path(memory), torch.float32, "mixed", None, getattr(torch, reading)))


@torch.inference_mode()
def decode(
    model: str, memory: str, reading: str, threads: int, prompt: list[int], count: int, drafts: bool
) -> dict[str, Any]:
    """Seconds to read a prompt, and to write `count` tokens after it, the network's likeliest; and which.

    With `drafts`, the text itself and the memory, which has read the prompt, too, propose some, which the network
    verifies.
    """
    writer = session_of(model, memory, reading, threads).writer
    assert writer.model is not None and writer.memory is not None
    network = NetworkText(writer.model, writer.decoder, writer.reader, MOST_DRAFTED if drafts else 0)
    began = time.perf_counter()
    for _ in network.read(prompt):
        pass
    read, tokens = time.perf_counter() - began, list[int]()
    special = set(writer.tokenizer.special.values())
    with writer.memory.forgetting(1 << 16) if drafts else nullcontext():
        text = Continuation(writer.memory, [id_ for id_ in prompt if id_ not in special]) if drafts else None
        began = time.perf_counter()
        while len(tokens) < count:
            token = int(network.logits.argmax())
            tokens.append(token)
            if text is not None and token not in special:
                text.accept(token)
            is_asked = text is not None and not network.expects(token)
            network.accept(token, text.draft(MOST_DRAFTED) if is_asked and text is not None else ())
        seconds = time.perf_counter() - began
    return {"prefill_seconds": read, "read": len(prompt), "seconds": seconds, "tokens": tokens}


def line(
    model: str,
    memory: str,
    reading: str,
    threads: int,
    prefix: str,
    suffix: str,
    typed: str,
    path: str,
    window: list[int],
) -> dict[str, float]:
    """Seconds to a finished line (mixture, guide, drafts): of a file just opened, and after `typed` more.

    `window`: so many bytes before and after the cursor are read. The other times: until the first token, and without
    the guide after `typed`.
    """
    windows.MOST_PREFIX_BYTES, windows.MOST_SUFFIX_BYTES = window
    session, found = session_of(model, memory, reading, threads), dict[str, float]()
    before, after = (text.encode("latin-1") for text in (prefix, suffix))
    session.forget()
    ways = {
        "first": (b"", SamplingParams(max_tokens=1)),
        "cold": (b"", SamplingParams(max_tokens=48, until="line", valid=True)),
        "typed": (typed.encode("latin-1"), SamplingParams(max_tokens=48, until="line", valid=True)),
        "typed_without_guide": (typed.encode("latin-1"), SamplingParams(max_tokens=48, until="line")),
    }
    for name, (more, params) in ways.items():
        if name == "cold":
            session.forget()
        began = time.perf_counter()
        session.complete(Prompt(prefix=before + more, suffix=after, path=path), params)
        found[name] = time.perf_counter() - began
    return found


def main() -> None:
    serve({"decode": decode, "line": line})
