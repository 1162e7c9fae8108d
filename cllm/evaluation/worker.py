"""The evaluating process: `python -m cllm.evaluation.worker`, answering the calls of the control node.

A worker scores documents and completes prompts with a saved model, on one thread.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cllm.corpus import Corpus
from cllm.evaluation.likelihood import likelihood
from cllm.generation import Prompt, SamplingParams, complete
from cllm.model.load import load_model
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


def score(model: str, dtype: str, corpus: str, document: int) -> dict[str, Any]:
    """Bits, tokens and hits of one held-out document, by its number among them."""
    network, tokenizer = opened(model, dtype)
    held_out = corpus_of(corpus)
    ids = np.array([*tokenizer.encode(held_out.text(held_out.val[document])), tokenizer.end_of_text], np.int64)
    result = likelihood(network, ids, tokenizer.end_of_text)
    return {"document": document, "bits": result.bits, "tokens": len(ids), "top1": result.top(1), "top5": result.top(5)}


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
