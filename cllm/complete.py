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
from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.compiling import CompilingGuide
from cllm.generation.explanation import explain
from cllm.generation.grammar import Grammar
from cllm.generation.matching import complete_matching
from cllm.machine import default_dtype, describe
from cllm.memory.store import load_memory
from cllm.run import current_run, existing_directory
from cllm.syntax.compile_c import Compiler
from cllm.syntax.grammars import EXTENSIONS, grammar_of
from cllm.syntax.preamble import preamble
from cllm.workspace import Workspace

MAX_SAMPLES = 64
MAX_FILE_BYTES = 16_000_000


def text_to_prompt(text: bytes, suffix: str, language: str | None) -> Prompt:
    """A prompt from text; a language makes it the beginning of a file of that language."""
    path = None
    if language is not None:
        known = {name.lower(): extensions[0] for name, extensions in EXTENSIONS.items()}
        if language.lower() not in known:
            raise UsageError(f"--language {language} is not known; there are: {', '.join(sorted(EXTENSIONS))}")
        path = f"main{known[language.lower()]}"
    return Prompt(prefix=text, suffix=suffix.encode("utf-8", "surrogateescape"), path=path)


def place_in_file(root: Path, file: Path, line: str | None) -> Prompt:
    """The text of a file before and after a place "N" (end of line N) or "N:COLUMN" (before that column, from 1)."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{file} is larger than {MAX_FILE_BYTES / 1e6:.0f} MB, the most that is completed in")
    place = len(text) if line is None else offset_of(text, line, file)
    resolved, repository = file.resolve(), root.resolve()
    path = resolved.relative_to(repository).as_posix() if resolved.is_relative_to(repository) else file.name
    return Prompt(prefix=text[:place], suffix=text[place:], path=path)


def offset_of(text: bytes, place: str, file: Path) -> int:
    """Byte offset of "N" or "N:COLUMN" in a text; columns count characters."""
    number, _, column = place.partition(":")
    if not number.isdecimal() or (column and not column.isdecimal()) or number == "0" or column == "0":
        raise UsageError(f"--line {place} is not N or N:COLUMN, both counted from 1")
    lines = text.split(b"\n")
    if int(number) > len(lines):
        raise UsageError(f"--line {place}: {file} has {len(lines)} lines")
    before = sum(len(line) + 1 for line in lines[: int(number) - 1])
    content = lines[int(number) - 1].decode("utf-8", "surrogateescape").rstrip("\r")
    if column and int(column) > len(content) + 1:
        raise UsageError(f"--line {place}: line {number} of {file} has {len(content)} characters")
    content = content[: int(column) - 1] if column else content
    return before + len(content.encode("utf-8", "surrogateescape"))


@contextmanager
def compiler_of(corpus: Corpus) -> Iterator[tuple[Compiler, bytes]]:
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
    with compiler_of(corpus) as (compiler, includes):
        yield CompilingGuide(prompt.prefix, prompt.suffix, compiler, includes)


def main_grammar(corpus: Corpus) -> str | None:
    """The language with a grammar that most bytes of a repository are in."""
    sizes = Counter[str]()
    for document in corpus.train:
        if (language := grammar_of(document.path)) not in (None, "JSON"):
            sizes[str(language)] += document.bytes
    return max(sizes, key=lambda language: sizes[language], default=None)


def complete_text(
    root: Path,
    prompt: Prompt,
    params: SamplingParams,
    num_samples: int,
    experts: str,
    explained: bool,
    compiled: bool = False,
    grammar: Grammar | None = None,
) -> list[dict[str, Any]]:
    """Completions by what is in use, also while another is being learned.

    A prompt without a language is taken to be in the one that most of the repository is. Of each `text`, `tokens`,
    `finish_reason`, `valid`, `stopped_early` and, if it is to be explained, where it comes from (`explain`). C may be
    `compiled`: gcc, which sees the repository's headers, has to accept it. A `grammar` stands in for all of that.
    """
    if not 1 <= num_samples <= MAX_SAMPLES:
        raise UsageError(f"-n {num_samples} is not between 1 and {MAX_SAMPLES}")
    run = current_run(Workspace(existing_directory(root)))
    torch.set_num_threads(1)  # one token's products are too small to share out: 1.2 ms with one thread or two
    update = run.update if run.update.exists() else None
    corpus = Corpus.open(run.corpus)
    if prompt.language is None and prompt.path is None:
        prompt = replace(prompt, language=main_grammar(corpus))
    if compiled and prompt.language != "C":
        raise UsageError(f"--compile is for C, and the prompt is in {prompt.language or 'no language that is known'}")
    reading = getattr(torch, default_dtype(describe()))
    writer = Writer.load(run.model, run.memory, torch.float32, experts, update, reading)
    if grammar is not None:
        completions = complete_matching(writer, grammar, prompt, params, num_samples)
    else:
        with compiling_guide(corpus, prompt) if compiled else nullcontext() as guide:
            completions = writer.complete(prompt, params, num_samples, guide)
    shown = ("text", "finish_reason", "valid", "stopped_early")
    found = [{**{name: getattr(c, name) for name in shown}, "tokens": len(c.tokens)} for c in completions]
    if not explained:
        return found
    citing = writer.memory or load_memory(run.memory, writer.tokenizer, update)
    return [{**completion, **explain(citing, prompt, str(completion["text"]))} for completion in found]
