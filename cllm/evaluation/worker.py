"""The evaluating process, answering the calls of the control node.

A worker scores documents and completes prompts with a saved model, on one thread.
"""

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cllm.ahead import ahead
from cllm.corpus import Corpus
from cllm.evaluation.compressors import size_by
from cllm.evaluation.likelihood import Likelihood
from cllm.evaluation.lines import LINE_TOKENS, Cursor, copied_line
from cllm.evaluation.ngram import Ngram
from cllm.evaluation.speed import writing_speed
from cllm.evaluation.validity import GUIDED, Trial, stands
from cllm.generation import Prompt, SamplingParams, Writer
from cllm.memory.network import PIECES_AHEAD, ids_of, in_memory_terms
from cllm.model.load import load_model
from cllm.model.reading import read
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer

SPEED_PREFIX_BYTES = 2_000


@lru_cache(maxsize=1)
def writer_of(model: str, memory: str, dtype: str, reading: str | None = None) -> Writer:
    """Network, memory and tokenizer."""
    read_in = getattr(torch, reading) if reading is not None else None
    return Writer.load(Path(model), Path(memory), getattr(torch, dtype), reading=read_in)


@lru_cache(maxsize=1)
def corpus_of(directory: str) -> Corpus:
    return Corpus.open(Path(directory))


def score(model: str, memory: str, dtype: str, corpus: str, document: int) -> dict[str, Any]:
    """Bits by each expert, tokens and hits of one held-out document, by its number among them."""
    writer = writer_of(model, memory, dtype)
    assert writer.model is not None and writer.memory is not None
    held_out = corpus_of(corpus)
    path = held_out.val[document].path
    text = held_out.text(held_out.val[document])
    ids = ids_of(text, writer.tokenizer)
    likelihood = Likelihood(ids)
    logits = likelihood.watch(read(writer.model, ids, writer.tokenizer.end_of_text))
    says = ahead(in_memory_terms(logits, writer.memory.trie), PIECES_AHEAD)
    mixed = writer.memory.score(text, says, path)
    return {
        "document": document,
        "bits": {"model": likelihood.bits, "memory": writer.memory.score(text, path=path), "mixed": mixed},
        "tokens": len(ids),
        "top1": likelihood.top(1),
        "top5": likelihood.top(5),
    }


def complete_prompt(model: str, memory: str, dtype: str, prompt: str, max_tokens: int) -> str:
    """The likeliest text after a prompt, the prompt included."""
    writer = writer_of(model, memory, dtype)
    (completion,) = writer.complete(Prompt(prefix=prompt.encode()), SamplingParams(max_tokens=max_tokens))
    return prompt + completion.text


def measure_speed(model: str, memory: str, dtype: str, corpus: str, documents: list[int]) -> dict[str, Any]:
    """How fast held-out documents are gone on with after their first halves, in fp32, as `cllm complete` computes."""
    writer = replace(writer_of(model, memory, dtype), model=load_model(Path(model), torch.float32))
    opened = corpus_of(corpus)
    prompts = []
    for number in documents:
        text = opened.text(opened.val[number])
        prompts.append(Prompt(prefix=text[: len(text) // 2][-SPEED_PREFIX_BYTES:], path=opened.val[number].path))
    return writing_speed(writer, prompts)


@lru_cache(maxsize=1)
def learned_text(corpus: str) -> bytes:
    """All learned files, one after another."""
    opened = corpus_of(corpus)
    return b"".join(opened.text(document) for document in opened.train)


@lru_cache(maxsize=1)
def compressed_learned(corpus: str, compressor: str) -> int:
    """Bytes that the learned files take."""
    return size_by(compressor)(learned_text(corpus))


def compress(corpus: str, compressor: str, document: int) -> float:
    """Bits of a held-out file by a compressor that has compressed the learned ones before it."""
    opened = corpus_of(corpus)
    whole = size_by(compressor)(learned_text(corpus) + opened.text(opened.val[document]))
    return 8.0 * (whole - compressed_learned(corpus, compressor))


@lru_cache(maxsize=1)
def ngram_of(corpus: str, model: str) -> tuple[Ngram, Tokenizer]:
    """Counts of the learned files."""
    opened, tokenizer = corpus_of(corpus), Tokenizer.load(Path(model) / "tokenizer.json")
    documents = [ids_of(opened.text(document), tokenizer) for document in opened.train]
    return Ngram(documents, tokenizer.vocab_size), tokenizer


def ngram(corpus: str, model: str, document: int) -> float:
    """Bits of a held-out file by the n-gram."""
    counts, tokenizer = ngram_of(corpus, model)
    opened = corpus_of(corpus)
    return counts.bits(ids_of(opened.text(opened.val[document]), tokenizer))


def suggest_line(
    model: str, memory: str, dtype: str, corpus: str, document: int, begin: int, end: int
) -> dict[str, str]:
    """What each method suggests at a cursor of a held-out file whose line ends at `end`."""
    writer = writer_of(model, memory, dtype)
    writers = {"mixed": writer, "model": replace(writer, memory=None), "memory": replace(writer, model=None)}
    opened = corpus_of(corpus)
    text = opened.text(opened.val[document])
    prompt = Prompt(prefix=text[:begin], suffix=text[end:], path=opened.val[document].path)
    params = SamplingParams(max_tokens=LINE_TOKENS, stop=("\n",))
    found = {name: each.complete(prompt, params)[0].text for name, each in writers.items()}
    return {**found, "copied": copied_line(learned_text(corpus), text[:begin])}


def complete_both(
    model: str, memory: str, reading: str, corpus: str, document: int, begin: int, end: int, is_middle: bool
) -> dict[str, dict[str, Any]]:
    """A line at a cursor of a held-out document, with the guide and without, as `cllm complete` computes: in fp32.

    Prompts are read in the dtype `reading`.
    """
    writer, opened = writer_of(model, memory, "float32", reading), corpus_of(corpus)
    held_out = opened.val[document]
    text = opened.text(held_out)
    trial = Trial(cursor=Cursor(document=document, begin=begin, end=end), is_middle=is_middle)
    prompt = Prompt(prefix=text[:begin], suffix=text[end:] if is_middle else b"", path=held_out.path)
    found: dict[str, dict[str, Any]] = {}
    for name, is_guided in GUIDED.items():
        began = time.perf_counter()
        params = SamplingParams(max_tokens=LINE_TOKENS, until="line", valid=is_guided)
        (completion,) = writer.complete(prompt, params)
        seconds = time.perf_counter() - began
        written = completion.text.encode("utf-8", "surrogateescape")
        found[name] = {
            "valid": stands(held_out, text, trial, written),
            "exact": written.rstrip() == text[begin:end].rstrip(),
            "tokens": len(completion.tokens),
            "stopped_early": completion.stopped_early,
            "seconds": seconds,
            "text": completion.text,
        }
    return found


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    calls = (score, complete_prompt, measure_speed, compress, ngram, suggest_line, complete_both)
    serve({call.__name__: call for call in calls})
