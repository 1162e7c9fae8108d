"""`cllm complete`: from a prompt, a place in a file or standard input to completions of what is in use."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.constrained import complete_constrained
from cllm.generation.explanation import explain
from cllm.generation.grammar.grammar import Grammar
from cllm.generation.guide.compiling_guide import CompilingGuide
from cllm.machine import default_dtype, detect_machine
from cllm.memory.store import load_memory
from cllm.syntax.compiler import Compiler
from cllm.syntax.grammars import language_with_grammar
from cllm.syntax.preamble import preamble
from cllm.workspace.run import current_run, existing_directory
from cllm.workspace.workspace import Workspace

MAX_SAMPLES = 64


@contextmanager
def repository_compiler(corpus: Corpus) -> Iterator[tuple[Compiler, bytes]]:
    """gcc, in whose folder the repository's headers are, and the includes that its files begin with.

    UsageError if there is none.
    """
    documents = [document for document in (*corpus.train, *corpus.val) if document.path.endswith((".c", ".h"))]
    texts = {document.path: corpus.text(document) for document in documents}
    with Compiler({path: text for path, text in texts.items() if path.endswith(".h")}) as compiler:
        if compiler.compiles(b"").ok is None:
            raise UsageError(f"--compile: {compiler.compiles(b'').reason}")
        yield compiler, preamble(compiler, texts.values())


@contextmanager
def compiling_guide(corpus: Corpus, prompt: Prompt) -> Iterator[CompilingGuide]:
    """A guide that asks gcc."""
    with repository_compiler(corpus) as (compiler, includes):
        yield CompilingGuide(prompt.prefix, prompt.suffix, compiler, includes)


def main_grammar_language(corpus: Corpus) -> str | None:
    """The language with a grammar that most bytes of a repository are in."""
    sizes = Counter[str]()
    for document in corpus.train:
        if (language := language_with_grammar(document.path)) not in (None, "JSON"):
            sizes[str(language)] += document.bytes
    return max(sizes, key=lambda language: sizes[language], default=None)


def complete_prompt(
    root: Path,
    prompt: Prompt,
    params: SamplingParams,
    *,
    num_samples: int = 1,
    experts: str = "mixed",
    with_sources: bool = False,
    must_compile: bool = False,
    grammar: Grammar | None = None,
) -> list[dict[str, Any]]:
    """Completions by what is in use, also while another is being learned.

    A prompt without a language is taken to be in the one that most of the repository is. Of each `text`, `tokens`,
    `finish_reason`, `valid`, `stopped_early` and, if it is to be explained, where it comes from (`explain`). C may be
    `must_compile`: gcc, which sees the repository's headers, has to accept it. A `grammar` stands in for all of that.
    """
    if not 1 <= num_samples <= MAX_SAMPLES:
        raise UsageError(f"-n {num_samples} is not between 1 and {MAX_SAMPLES}")
    run = current_run(Workspace(existing_directory(root)))
    torch.set_num_threads(1)  # one token's products are too small to share out: 1.2 ms with one thread or two
    update = run.update if run.update.exists() else None
    corpus = Corpus.open(run.corpus)
    if prompt.language is None and prompt.path is None:
        prompt = replace(prompt, language=main_grammar_language(corpus))
    if must_compile and prompt.language != "C":
        raise UsageError(f"--compile is for C, and the prompt is in {prompt.language or 'no language that is known'}")
    prefill_dtype = getattr(torch, default_dtype(detect_machine()))
    completer = Completer.load(run.model, run.memory, torch.float32, experts, update, prefill_dtype)
    if grammar is not None:
        completions = complete_constrained(completer, grammar, prompt, params, num_samples)
    else:
        with compiling_guide(corpus, prompt) if must_compile else nullcontext() as guide:
            completions = completer.complete(prompt, params, num_samples, guide)
    keys = ("text", "finish_reason", "valid", "stopped_early")
    found = [{**{name: getattr(c, name) for name in keys}, "tokens": len(c.tokens)} for c in completions]
    if not with_sources:
        return found
    memory = completer.memory or load_memory(run.memory, completer.tokenizer, update)
    return [{**completion, **explain(memory, prompt, str(completion["text"]))} for completion in found]
