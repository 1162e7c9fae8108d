"""The evaluating process: `python -m cllm.evaluation.worker`, answering the calls of the control node.

A worker scores documents and completes prompts with a saved model, on one thread.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cllm.corpus import Corpus
from cllm.evaluation.likelihood import Likelihood
from cllm.generation import Prompt, SamplingParams, complete
from cllm.memory.memory import Memory
from cllm.memory.network import ids_of, in_memory_terms
from cllm.memory.store import load_memory
from cllm.model.load import load_model
from cllm.model.reading import read
from cllm.model.transformer import Transformer
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer


@lru_cache(maxsize=1)
def opened(model: str, dtype: str) -> tuple[Transformer, Tokenizer]:
    """Network and tokenizer of a model directory."""
    return load_model(Path(model), getattr(torch, dtype)), Tokenizer.load(Path(model) / "tokenizer.json")


@lru_cache(maxsize=1)
def corpus_of(directory: str) -> Corpus:
    return Corpus.open(Path(directory))


@lru_cache(maxsize=1)
def memory_of(directory: str, model: str) -> Memory:
    return load_memory(Path(directory), Tokenizer.load(Path(model) / "tokenizer.json"))


def score(model: str, dtype: str, memory: str, corpus: str, document: int) -> dict[str, Any]:
    """Bits by each expert, tokens and hits of one held-out document, by its number among them."""
    network, tokenizer = opened(model, dtype)
    remembered = memory_of(memory, model)
    held_out = corpus_of(corpus)
    text = held_out.text(held_out.val[document])
    ids = ids_of(text, tokenizer)
    likelihood = Likelihood(ids)
    logits = likelihood.watch(read(network, ids, tokenizer.end_of_text))
    mixed = remembered.score(text, in_memory_terms(logits, remembered.trie))
    return {
        "document": document,
        "bits": {"model": likelihood.bits, "memory": remembered.score(text), "mixed": mixed},
        "tokens": len(ids),
        "top1": likelihood.top(1),
        "top5": likelihood.top(5),
    }


def complete_prompt(model: str, dtype: str, prompt: str, max_tokens: int) -> str:
    """The likeliest text after a prompt, the prompt included."""
    network, tokenizer = opened(model, dtype)
    params = SamplingParams(max_tokens=max_tokens)
    (completion,) = complete(network, tokenizer, Prompt(prefix=prompt.encode()), params)
    return prompt + completion.text


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    serve({"score": score, "complete": complete_prompt})


if __name__ == "__main__":
    main()
