"""Part of `cllm bench valid`: beginnings of C, gone on with. Do they parse, and does gcc accept them?"""

from typing import Any

import torch

from cllm.complete import compiler_of, main_grammar
from cllm.corpus import Corpus
from cllm.evaluation.scorecard import Subject
from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.compiling import CompilingGuide
from cllm.machine import default_dtype, describe
from cllm.progress import Reporter
from cllm.syntax.errors import errors

PROMPTS = ("int main", "struct", "#include", "void function")
SEEDS = 10
DRAWN = SamplingParams(max_tokens=128, until="block", valid=True, temperature=0.8)


def bench_prompts(subject: Subject, corpus: Corpus, report: Reporter) -> list[dict[str, Any]]:
    """Of each prompt, how many of so many completions, seeds 0, 1, ... parse and compile; empty if C is not what the
    repository is mostly in, or there is no gcc.

    As `cllm complete --until block --temperature 0.8 --compile`. They are judged as whole files, with what the
    repository's files include before them, and the headers of the repository.
    """
    if main_grammar(corpus) != "C" or not describe().gcc:
        return []
    report.phase("prompts")
    torch.set_num_threads(1)
    found = []
    with compiler_of(corpus) as (compiler, includes):
        reading = getattr(torch, default_dtype(describe()))
        writer = Writer.load(subject.model, subject.memory, torch.float32, reading=reading)
        for number, beginning in enumerate(PROMPTS):
            report.update(number / len(PROMPTS), f"{beginning!r}")
            prompt = Prompt(prefix=beginning.encode(), language="C")
            guide = CompilingGuide(prompt.prefix, b"", compiler, includes)
            texts = [beginning + each.text for each in writer.complete(prompt, DRAWN, SEEDS, guide)]
            parse = [errors("C", text.encode() + b"\n") == 0 for text in texts]
            before = b"" if beginning == "#include" else includes
            compile_ = [compiler.compiles(before + text.encode() + b"\n").ok is True for text in texts]
            judged = {"parse": sum(parse), "compile": sum(compile_)}
            found.append({"prompt": beginning, "completions": SEEDS, **judged, "texts": texts})
    return found
