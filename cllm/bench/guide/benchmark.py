"""`cllm bench guide`: how often the guide refuses the real text of held-out files, language by language.

The guide is otherwise judged by what it lets out. Here it gets what the file really has in a gap, in the steps in which
a completion is checked: each line of it when it is complete, and the whole of it at the end. Every refusal is an error
of the guide. A text that is not refused may still not parse; the search for a completion then prefers one that does.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, Literal

from cllm.bench.shared.config import machine_report
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.evaluation.gaps import Gap, draw_gaps
from cllm.generation.guide.guide import Guide
from cllm.machine import detect_machine
from cllm.progress import Reporter
from cllm.syntax.file_language import language_of_file
from cllm.workspace.run import current_run_of

Verdict = Literal["allowed", "unparsed", "refused"]

MAX_GAPS = 100_000  # for each language
KINDS = ("end_of_line", "before_closing", "inside_name", "line", "lines")
WITHIN_LINE = ("before_closing", "inside_name")  # without the text to the right, their line would be cut


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
    """Return figures over `count` gaps in each language of `texts` (by path), and the examples behind them.

    `real_refused` and `real_unparsed` are fractions of the gaps whose real text is refused, and does not parse.
    `seconds` are the p50 and p95 of all checks of a gap, with its guide.
    """
    paths_of = defaultdict[str, list[str]](list)
    for path, text in texts.items():
        if text.strip() and (language := language_of_file(path, text)) is not None:
            paths_of[language].append(path)
    found: dict[str, Any] = {"real_refused": {}, "real_unparsed": {}, "gaps": {}, "seconds": {}}
    examples = list[dict[str, Any]]()
    for language, paths in sorted(paths_of.items()):
        report.start_phase(language)
        gaps, times = cursors_in([texts[path] for path in paths], count, seed), list[float]()
        verdicts = Counter[Verdict]()
        for number, (gap, has_suffix) in enumerate(gaps):
            report.update(number / len(gaps), f"gap {number} of {len(gaps)}")
            began = time.perf_counter()
            verdict = verdict_on_real_text(language, texts[paths[gap.document]], gap, has_suffix)
            times.append(time.perf_counter() - began)
            verdicts[verdict] += 1
            if verdict != "allowed":
                examples.append({"language": language, "verdict": verdict, **_example(texts, paths[gap.document], gap)})
        found["gaps"][language] = len(gaps)
        found["real_refused"][language] = verdicts["refused"] / len(gaps)
        found["real_unparsed"][language] = (verdicts["refused"] + verdicts["unparsed"]) / len(gaps)
        found["seconds"][language] = _percentiles(times)
    names = ("refused", "unparsed")
    return {**found, **{name: [each for each in examples if each["verdict"] == name] for name in names}}


def cursors_in(texts: Sequence[bytes], count: int, seed: int) -> list[tuple[Gap, bool]]:
    """Up to `count` gaps of KINDS in texts, and whether the text to the right is given: at every other end of a line.

    Each kind has the same number of gaps, but for rounding and for texts that have not as many.
    """
    gaps = draw_gaps(texts, -(-count // len(KINDS)), seed, KINDS)
    return [(gap, gap.kind in WITHIN_LINE or number % 2 == 0) for number, gap in enumerate(gaps)][:count]


def verdict_on_real_text(language: str, text: bytes, gap: Gap, has_suffix: bool) -> Verdict:
    """Return whether one of a completion's checks refuses the real text of a gap, or cannot parse it."""
    real = text[gap.begin : gap.end]
    guide = Guide(language, text[: gap.begin], text[gap.end :] if has_suffix else b"").prepared()
    ends = [place + 1 for place in range(len(real)) if real.startswith(b"\n", place)]
    parts = [*(real[:end] for end in ends), real]
    if any(guide.error_offset(part, is_line=True) is not None for part in parts) or not guide.fits(real):
        return "refused"
    is_parsed = all(guide.syntax_error_offset(part, is_line=True) is None for part in parts) and guide.parses(real)
    return "allowed" if is_parsed and not guide.is_misshapen(real) else "unparsed"


def _example(texts: dict[str, bytes], path: str, gap: Gap) -> dict[str, Any]:
    text = texts[path]
    begin, end = text.rfind(b"\n", 0, gap.begin) + 1, text.find(b"\n", gap.end)
    parts = (text[begin : gap.begin], text[gap.begin : gap.end], text[gap.end : end if end >= 0 else len(text)])
    names = ("left", "real", "right")
    shown = {name: part.decode("utf-8", "replace") for name, part in zip(names, parts, strict=True)}
    place = {"line": text.count(b"\n", 0, gap.begin) + 1, "begin": gap.begin, "end": gap.end}
    return {"path": path, "kind": gap.kind, **place, **shown}


def _percentiles(times: list[float]) -> dict[str, float]:
    if len(times) < 2:
        return dict.fromkeys(("p50", "p95"), times[0] if times else 0.0)
    cuts = quantiles(times, n=20, method="inclusive")
    return {"p50": cuts[9], "p95": cuts[18]}
