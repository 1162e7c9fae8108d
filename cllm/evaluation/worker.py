"""Evaluation worker process: scores documents and completes prompts with a saved model, on one thread.

It serves calls of the main process.
"""

import re
import time
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cllm.background_iterator import background_iterator
from cllm.corpus import Corpus
from cllm.evaluation.compressors import size_function
from cllm.evaluation.decode_speed import decode_speed
from cllm.evaluation.gaps import Gap
from cllm.evaluation.harm import judge_suggestion
from cllm.evaluation.likelihood import Likelihood
from cllm.evaluation.ngram import Ngram
from cllm.evaluation.rest_of_line import MAX_LINE_TOKENS, LineCursor, copied_line
from cllm.evaluation.validity import GUIDED, Trial, is_valid_completion
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict.prompt import LARGE_WINDOW
from cllm.memory.distributions import PREFETCH_CHUNKS, encode_document, to_token_distributions
from cllm.model.load import load_model
from cllm.model.logits import document_logits
from cllm.model.transformer import Transformer
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer

SPEED_PREFIX_BYTES = 2_000
MAX_BLOCK_TOKENS = 128  # generated in a gap of several lines
WORD = re.compile(rb"\w+")


@lru_cache(maxsize=1)
def completer_of(model: str, memory: str) -> Completer:
    """Load network, memory and tokenizer; cached."""
    return Completer.load(Path(model), Path(memory))


@lru_cache(maxsize=1)
def transformer_of(model: str, dtype: str) -> Transformer:
    """Load the network for the scores, in the dtype in which it was trained; cached."""
    return load_model(Path(model), getattr(torch, dtype))


@lru_cache(maxsize=1)
def corpus_of(directory: str) -> Corpus:
    return Corpus.open(Path(directory))


def score(model: str, memory: str, dtype: str, corpus: str, document: int) -> dict[str, Any]:
    """Return bits by each expert, token count and top-1 and top-5 hits of the held-out document with this index."""
    completer = completer_of(model, memory)
    assert completer.memory is not None
    held_out = corpus_of(corpus)
    path = held_out.val[document].path
    text = held_out.text(held_out.val[document])
    ids = encode_document(text, completer.tokenizer)
    likelihood = Likelihood(ids)
    chunks = document_logits(transformer_of(model, dtype), ids, completer.tokenizer.end_of_text)
    logits = (chunk.numpy() for chunk in likelihood.record(chunks))
    network_probs = background_iterator(to_token_distributions(logits, completer.memory.trie), PREFETCH_CHUNKS)
    mixed = completer.memory.score(text, network_probs, path)
    return {
        "document": document,
        "bits": {"model": likelihood.bits, "memory": completer.memory.score(text, path=path), "mixed": mixed},
        "tokens": len(ids),
        "top1": likelihood.top(1),
        "top5": likelihood.top(5),
    }


def complete_prompt(model: str, memory: str, language: str, prompt: str, max_tokens: int) -> str:
    """Return a prompt with its greedy completion, as `cllm complete` writes it: a valid block."""
    completer = completer_of(model, memory)
    params = SamplingParams(max_tokens=max_tokens, until="block", valid=True)
    (completion,) = completer.complete(Prompt(prefix=prompt.encode(), language=language), params)
    return prompt + completion.text


def measure_speed(model: str, memory: str, corpus: str, documents: list[int]) -> dict[str, Any]:
    """Measure decoding speed after the first halves of held-out documents."""
    completer = completer_of(model, memory)
    corpus_ = corpus_of(corpus)
    prompts = []
    for number in documents:
        text = corpus_.text(corpus_.val[number])
        prompts.append(Prompt(prefix=text[: len(text) // 2][-SPEED_PREFIX_BYTES:], path=corpus_.val[number].path))
    return decode_speed(completer, prompts)


@lru_cache(maxsize=1)
def train_text(corpus: str) -> bytes:
    """Return the training files, concatenated; cached."""
    corpus_ = corpus_of(corpus)
    return b"".join(corpus_.text(document) for document in corpus_.train)


@lru_cache(maxsize=1)
def compressed_train_bytes(corpus: str, compressor: str) -> int:
    """Return the compressed size of the training files in bytes; cached."""
    return size_function(compressor)(train_text(corpus))


def compress(corpus: str, compressor: str, document: int) -> float:
    """Return the bits of a held-out file by a compressor, after the training files."""
    corpus_ = corpus_of(corpus)
    whole = size_function(compressor)(train_text(corpus) + corpus_.text(corpus_.val[document]))
    return 8.0 * (whole - compressed_train_bytes(corpus, compressor))


@lru_cache(maxsize=1)
def ngram_of(corpus: str, model: str) -> tuple[Ngram, Tokenizer]:
    """Return the n-gram counts of the training files and the tokenizer; cached."""
    corpus_, tokenizer = corpus_of(corpus), Tokenizer.load(Path(model) / "tokenizer.json")
    documents = [encode_document(corpus_.text(document), tokenizer) for document in corpus_.train]
    return Ngram(documents, tokenizer.vocab_size), tokenizer


def ngram(corpus: str, model: str, document: int) -> float:
    """Return the bits of a held-out file by the n-gram model."""
    counts, tokenizer = ngram_of(corpus, model)
    corpus_ = corpus_of(corpus)
    return counts.bits(encode_document(corpus_.text(corpus_.val[document]), tokenizer))


def suggest_line(model: str, memory: str, corpus: str, document: int, begin: int, end: int) -> dict[str, str]:
    """Return each method's suggestion at the cursor `begin` of a held-out file, whose line ends at `end`."""
    completer = completer_of(model, memory)
    completers = {
        "mixed": completer,
        "model": replace(completer, memory=None),
        "memory": replace(completer, network=None),
    }
    corpus_ = corpus_of(corpus)
    text = corpus_.text(corpus_.val[document])
    prompt = Prompt(prefix=text[:begin], suffix=text[end:], path=corpus_.val[document].path, window=LARGE_WINDOW)
    params = SamplingParams(max_tokens=MAX_LINE_TOKENS, stop=("\n",))
    found = {name: each.complete(prompt, params)[0].text for name, each in completers.items()}
    return {**found, "copied": copied_line(train_text(corpus), text[:begin])}


def complete_with_and_without_guide(
    model: str, memory: str, corpus: str, document: int, begin: int, end: int, is_middle: bool
) -> dict[str, dict[str, Any]]:
    """Complete a line at a cursor of a held-out document with and without the guide."""
    completer, corpus_ = completer_of(model, memory), corpus_of(corpus)
    held_out = corpus_.val[document]
    text = corpus_.text(held_out)
    trial = Trial(cursor=LineCursor(document=document, begin=begin, end=end), is_middle=is_middle)
    suffix = text[end:] if is_middle else b""
    prompt = Prompt(prefix=text[:begin], suffix=suffix, path=held_out.path, window=LARGE_WINDOW)
    found: dict[str, dict[str, Any]] = {}
    for name, is_guided in GUIDED.items():
        began = time.perf_counter()
        params = SamplingParams(max_tokens=MAX_LINE_TOKENS, until="line", valid=is_guided)
        (completion,) = completer.complete(prompt, params)
        seconds = time.perf_counter() - began
        generated = completion.text.encode("utf-8", "surrogateescape")
        found[name] = {
            "valid": is_valid_completion(held_out, text, trial, generated),
            "exact": generated.rstrip() == text[begin:end].rstrip(),
            "tokens": len(completion.tokens),
            "stopped_early": completion.stopped_early,
            "seconds": seconds,
            "text": completion.text,
        }
    return found


@lru_cache(maxsize=1)
def known_names(corpus: str) -> frozenset[bytes]:
    """Return all words of the repository's files, held-out ones included; cached."""
    corpus_ = corpus_of(corpus)
    return frozenset(word for each in (*corpus_.train, *corpus_.val) for word in WORD.findall(corpus_.text(each)))


def fill_gap(
    model: str,
    memory: str,
    corpus: str,
    kind: str,
    document: int,
    begin: int,
    end: int,
    inserted: str,
    is_crlf: bool,
) -> dict[str, Any]:
    """Fill a gap (`evaluation.gaps.Gap`) as `cllm complete` does, and judge the suggestion.

    `is_crlf`: the file has CR LF line ends; then the suggestion must have them, too.
    """
    completer, corpus_ = completer_of(model, memory), corpus_of(corpus)
    held_out = corpus_.val[document]
    text = corpus_.text(held_out)
    gap = Gap(kind=kind, document=document, begin=begin, end=end, inserted=inserted.encode())
    before, expected, after = gap.split(text)
    newline = b"\r\n" if is_crlf else b"\n"
    prompt = Prompt(
        prefix=before.replace(b"\n", newline),
        suffix=after.replace(b"\n", newline),
        path=held_out.path,
        window=LARGE_WINDOW,
    )
    params = SamplingParams(max_tokens=MAX_LINE_TOKENS, until="line", valid=True)
    if kind == "lines":
        params = replace(params, max_tokens=MAX_BLOCK_TOKENS, until="block")
    began = time.perf_counter()
    (completion,) = completer.complete(prompt, params)
    seconds = time.perf_counter() - began
    generated = completion.text.encode("utf-8", "surrogateescape")
    suggested = generated.replace(newline, b"\n")
    names = known_names(corpus)
    verdict = asdict(judge_suggestion(gap, text, held_out.path, suggested, names.__contains__))
    if suggested.replace(b"\n", newline) != generated or b"\r" in suggested:
        verdict["harm"] = "has other line ends"
    return {**verdict, "text": completion.text, "expected": expected.decode("utf-8", "replace"), "seconds": seconds}


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    calls = (score, complete_prompt, measure_speed, compress, ngram, suggest_line, complete_with_and_without_guide)
    serve({call.__name__: call for call in (*calls, fill_gap)})
