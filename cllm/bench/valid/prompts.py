"""Part of `cllm bench valid`: completions of C prompts, and whether they parse and compile."""

from typing import Any

from cllm.corpus import Corpus
from cllm.evaluation.scorecard import ScoredModel
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.guide.compiling_guide import CompilingGuide
from cllm.machine import detect_machine
from cllm.operations.complete import main_grammar_language, repository_compiler
from cllm.progress import Reporter
from cllm.syntax.error_count import count_errors

C_PROMPTS = ("int main", "struct", "#include", "void function")
NUM_SAMPLES = 10
SAMPLING = SamplingParams(max_tokens=128, until="block", valid=True, temperature=0.8)


def bench_prompts(scored_model: ScoredModel, corpus: Corpus, report: Reporter) -> list[dict[str, Any]]:
    """Return for each prompt how many of NUM_SAMPLES completions (seeds 0, 1, ...) parse and compile.

    Empty if the repository's main language is not C or there is no gcc. Completions are made as by `cllm complete
    --until block --temperature 0.8 --compile`. They are checked as whole files, with the repository's headers, after
    the lines that the repository's files include.
    """
    if main_grammar_language(corpus) != "C" or not detect_machine().gcc:
        return []
    report.start_phase("prompts")
    found = []
    with repository_compiler(corpus) as (compiler, includes):
        completer = Completer.load(scored_model.model, scored_model.memory)
        for number, beginning in enumerate(C_PROMPTS):
            report.update(number / len(C_PROMPTS), f"{beginning!r}")
            prompt = Prompt(prefix=beginning.encode(), language="C")
            guide = CompilingGuide(prompt.prefix, b"", compiler, includes)
            texts = [beginning + each.text for each in completer.complete(prompt, SAMPLING, NUM_SAMPLES, guide)]
            is_parsed = [count_errors("C", text.encode() + b"\n") == 0 for text in texts]
            preceding = b"" if beginning == "#include" else includes
            is_compiled = [compiler.compiles(preceding + text.encode() + b"\n").ok is True for text in texts]
            judged = {"num_parsing": sum(is_parsed), "num_compiling": sum(is_compiled)}
            found.append({"prompt": beginning, "completions": NUM_SAMPLES, **judged, "texts": texts})
    return found
