"""`cllm bench guide`: how often the guide refuses the real text of held-out files, language by language.

The guide is otherwise judged by what it lets out. Here it gets what the file really has in a gap, in the steps in which
a completion is checked: each line of it when it is complete, and the whole of it at the end. Every refusal is an error
of the guide. A text may also be doubted: it does not parse, and the search for a completion then prefers one that does.
"""

import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from typing import Any

from cllm.bench.guide.gaps import Gap, draw_gaps
from cllm.bench.shared.config import machine_report
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.generation.guide.guide import Guide
from cllm.machine import detect_machine
from cllm.progress import Reporter
from cllm.syntax.grammars import language_with_grammar
from cllm.workspace.run import current_run_of

MAX_GAPS = 100_000  # for each language


def bench_guide(root: Path, count: int, seed: int, report: Reporter) -> dict[str, Any]:
    """Return `refusals` of the held-out files of a repository's current run, which needs its corpus and no model.

    Raises UsageError if `count` is out of range or no held-out file has a language with a grammar.
    """
    if not 1 <= count <= MAX_GAPS:
        raise UsageError(f"-n {count} is not between 1 and {MAX_GAPS:,}")
    corpus = Corpus.open(current_run_of(root).corpus_path)
    texts = {document.path: corpus.text(document) for document in corpus.val if document.lines is None}
    found = refusals(texts, count, seed, report)
    if not found["real_refused"]:
        raise UsageError(f"{root} has no held-out files in a language with a grammar: nothing to check")
    return {**found, "seed": seed, **machine_report(detect_machine())}


def refusals(texts: dict[str, bytes], count: int, seed: int, report: Reporter) -> dict[str, Any]:
    """Return figures over `count` gaps in each language of `texts` (by path), and the refused examples.

    `real_refused` are fractions of the gaps whose real text is refused, `seconds` the p50 and p95 of all checks of a
    gap, with its guide.
    """
    paths_of = defaultdict[str, list[str]](list)
    for path, text in texts.items():
        if text.strip() and (language := language_with_grammar(path)) is not None:
            paths_of[language].append(path)
    refused, seconds, examples = dict[str, float](), dict[str, dict[str, float]](), list[dict[str, Any]]()
    gaps_of = dict[str, int]()
    for language, paths in sorted(paths_of.items()):
        report.start_phase(language)
        gaps, times, before = draw_gaps([texts[path] for path in paths], count, seed), list[float](), len(examples)
        for number, gap in enumerate(gaps):
            report.update(number / len(gaps), f"gap {number} of {len(gaps)}")
            began = time.perf_counter()
            if (stage := refusal(language, texts[paths[gap.text]], gap)) is not None:
                examples.append({"language": language, "stage": stage, **_example(texts, paths[gap.text], gap)})
            times.append(time.perf_counter() - began)
        gaps_of[language] = len(gaps)
        refused[language] = (len(examples) - before) / len(gaps) if gaps else 0.0
        seconds[language] = _percentiles(times)
    return {"real_refused": refused, "gaps": gaps_of, "seconds": seconds, "refused": examples}


def refusal(language: str, text: bytes, gap: Gap) -> str | None:
    """Return the check, "line" or "whole", that refuses the real text of a gap; None if none does."""
    real = text[gap.begin : gap.end]
    guide = Guide(language, text[: gap.begin], text[gap.end :] if gap.has_suffix else b"")
    ends = [place + 1 for place in range(len(real)) if real.startswith(b"\n", place)]
    if any(guide.error_offset(real[:end], is_line=True) is not None for end in ends):
        return "line"
    return None if guide.error_offset(real, is_line=True) is None and guide.fits(real) else "whole"


def _example(texts: dict[str, bytes], path: str, gap: Gap) -> dict[str, Any]:
    text = texts[path]
    begin, end = text.rfind(b"\n", 0, gap.begin) + 1, text.find(b"\n", gap.end)
    parts = (text[begin : gap.begin], text[gap.begin : gap.end], text[gap.end : end if end >= 0 else len(text)])
    names = ("left", "real", "right")
    shown = {name: part.decode("utf-8", "replace") for name, part in zip(names, parts, strict=True)}
    return {"path": path, "line": text.count(b"\n", 0, gap.begin) + 1, **asdict(gap), **shown}


def _percentiles(times: list[float]) -> dict[str, float]:
    if len(times) < 2:
        return dict.fromkeys(("p50", "p95"), times[0] if times else 0.0)
    cuts = quantiles(times, n=20, method="inclusive")
    return {"p50": cuts[9], "p95": cuts[18]}
