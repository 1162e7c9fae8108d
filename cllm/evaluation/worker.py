"""The evaluating process: `python -m cllm.evaluation.worker`, answering the calls of the control node.

A worker scores documents and completes prompts with a saved model, on one thread.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cllm.corpus import Corpus
from cllm.evaluation.likelihood import Likelihood
from cllm.generation import Prompt, SamplingParams, Writer
from cllm.memory.network import ids_of, in_memory_terms
from cllm.model.reading import read
from cllm.spheres.worker import serve


@lru_cache(maxsize=1)
def writer_of(model: str, memory: str, dtype: str) -> Writer:
    """Network, memory and tokenizer."""
    return Writer.load(Path(model), Path(memory), getattr(torch, dtype))


@lru_cache(maxsize=1)
def corpus_of(directory: str) -> Corpus:
    return Corpus.open(Path(directory))


def score(model: str, memory: str, dtype: str, corpus: str, document: int) -> dict[str, Any]:
    """Bits by each expert, tokens and hits of one held-out document, by its number among them."""
    writer = writer_of(model, memory, dtype)
    assert writer.model is not None and writer.memory is not None
    held_out = corpus_of(corpus)
    text = held_out.text(held_out.val[document])
    ids = ids_of(text, writer.tokenizer)
    likelihood = Likelihood(ids)
    logits = likelihood.watch(read(writer.model, ids, writer.tokenizer.end_of_text))
    mixed = writer.memory.score(text, in_memory_terms(logits, writer.memory.trie))
    return {
        "document": document,
        "bits": {"model": likelihood.bits, "memory": writer.memory.score(text), "mixed": mixed},
        "tokens": len(ids),
        "top1": likelihood.top(1),
        "top5": likelihood.top(5),
    }


def complete_prompt(model: str, memory: str, dtype: str, prompt: str, max_tokens: int) -> str:
    """The likeliest text after a prompt, the prompt included."""
    writer = writer_of(model, memory, dtype)
    (completion,) = writer.complete(Prompt(prefix=prompt.encode()), SamplingParams(max_tokens=max_tokens))
    return prompt + completion.text


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    serve({"score": score, "complete": complete_prompt})


if __name__ == "__main__":
    main()
