"""`cllm complete`: completions of a prompt by the current model."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.constrained import complete_constrained
from cllm.generation.explanation import explain
from cllm.generation.grammar.grammar import Grammar
from cllm.generation.guide.compiling_guide import CompilingGuide
from cllm.generation.predict.prompt import LARGE_WINDOW, MAX_WINDOW_BYTES, Window
from cllm.memory.store import load_memory
from cllm.syntax.compiler import Compiler
from cllm.syntax.file_language import language_at_cursor
from cllm.syntax.grammars import language_with_grammar
from cllm.syntax.preamble import preamble
from cllm.workspace.run import current_run_of

MAX_SAMPLES = 64


def window_of_size(prefix_bytes: int | None) -> Window:
    """The window with this size before the cursor, and a quarter of it after it (None: LARGE_WINDOW).

    Raises UsageError if the size is out of range.
    """
    if prefix_bytes is None:
        return LARGE_WINDOW
    if not 1 <= prefix_bytes <= MAX_WINDOW_BYTES:
        raise UsageError(f"--window {prefix_bytes} is not between 1 and {MAX_WINDOW_BYTES:,}")
    return Window(prefix_bytes=prefix_bytes, suffix_bytes=prefix_bytes // 4)


@contextmanager
def repository_compiler(corpus: Corpus) -> Iterator[tuple[Compiler, bytes]]:
    """gcc with the repository's headers in its include folder, and the `#include` lines for a completion.

    Raises UsageError if gcc is not installed.
    """
    documents = [document for document in (*corpus.train, *corpus.val) if document.path.endswith((".c", ".h"))]
    texts = {document.path: corpus.text(document) for document in documents}
    with Compiler({path: text for path, text in texts.items() if path.endswith(".h")}) as compiler:
        if compiler.compiles(b"").ok is None:
            raise UsageError(f"--compile: {compiler.compiles(b'').reason}")
        yield compiler, preamble(compiler, texts.values())


@contextmanager
def compiling_guide(corpus: Corpus, prompt: Prompt) -> Iterator[CompilingGuide]:
    """A guide that accepts only what gcc compiles."""
    with repository_compiler(corpus) as (compiler, includes):
        yield CompilingGuide(prompt.prefix, prompt.suffix, compiler, includes)


def main_grammar_language(corpus: Corpus) -> str | None:
    """The language with a grammar, other than JSON, that has the most bytes in a repository; None if there is none."""
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
    """Completions by the current model, also while a new run is training.

    A prompt without a language or path gets the main language of the repository. Each completion has `text`, `tokens`,
    `finish_reason`, `valid`, `reason` (why it is not valid), `stopped_early` and, `with_sources`, its sources
    (`explain`). With `must_compile`, for C, gcc has to accept the text with the repository's headers. A `grammar`
    replaces the checks by language.

    Raises UsageError for an invalid number of samples, or `must_compile` with another language than C.
    """
    if not 1 <= num_samples <= MAX_SAMPLES:
        raise UsageError(f"-n {num_samples} is not between 1 and {MAX_SAMPLES}")
    run = current_run_of(root)
    update = run.update_path if run.update_path.exists() else None
    corpus = Corpus.open(run.corpus_path)
    if prompt.language is None and prompt.path is None:
        prompt = replace(prompt, language=main_grammar_language(corpus))
    elif prompt.language == "C" and prompt.path and prompt.path.endswith(".h"):
        headers = main_grammar_language(corpus) or "C"
        prompt = replace(prompt, language=language_at_cursor(prompt.path, prompt.prefix, prompt.suffix, headers))
    if must_compile and prompt.language != "C":
        raise UsageError(f"--compile is for C, and the prompt is in {prompt.language or 'an unknown language'}")
    completer = Completer.load(run.model_path, run.memory_path, experts, update)
    if grammar is not None:
        completions = complete_constrained(completer, grammar, prompt, params, num_samples)
    else:
        with compiling_guide(corpus, prompt) if must_compile else nullcontext() as guide:
            completions = completer.complete(prompt, params, num_samples, guide)
    keys = ("text", "finish_reason", "valid", "reason", "stopped_early")
    found = [{**{name: getattr(c, name) for name in keys}, "tokens": len(c.tokens)} for c in completions]
    if not with_sources:
        return found
    memory = completer.memory or load_memory(run.memory_path, completer.tokenizer, update)
    return [{**completion, **explain(memory, prompt, str(completion["text"]))} for completion in found]
