"""`cllm bench complete`: how fast tokens and lines come, beside llama.cpp and transformers with the same weights.

All are asked in turn, prompt by prompt, by the same cursors in held-out files: prompts of the network's context, after
which so many tokens are written; and lines, as an editor asks for them.
"""

import importlib.util
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllm.bench.contest import circumstances_of
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.evaluation.lines import draw_cursors
from cllm.export import Learned, write_gguf, write_huggingface
from cllm.machine import default_dtype, describe
from cllm.progress import Reporter
from cllm.run import current_run, existing_directory
from cllm.spheres import Nursery, Sphere
from cllm.stages.scoring import subject_of
from cllm.training.launch import worker_environment
from cllm.workspace import Workspace

KINDS = ("f32", "f16", "q8_0")
TOKENS = 64  # that are written after each prompt
WINDOW = [3200, 800]  # bytes before and after a cursor: 1,000 tokens of libuv's, 3.9 bytes each
MOST_CURSORS = 10_000
OURS, LLAMA, TRANSFORMERS = "cllm.bench.ours", "cllm.bench.llama", "cllm.bench.hugging_face"


@dataclass(frozen=True)
class Contender:
    """A process that is asked, and what it is told each time."""

    sphere: Sphere
    told: dict[str, Any]

    def ask(self, call: str, **more: Any) -> Any:
        (found,) = self.sphere.deal(call, iter([{**self.told, **more}]))
        return found


def bench_complete(root: Path, count: int, seed: int, report: Reporter) -> dict[str, Any]:
    """Tokens a second of each contender; seconds to lines of ours."""
    if not 1 <= count <= MOST_CURSORS:
        raise UsageError(f"-n {count} is not between 1 and {MOST_CURSORS:,}")
    subject, machine = subject_of(current_run(Workspace(existing_directory(root)))), describe()
    corpus, learned = Corpus.open(subject.corpus), Learned.load(subject.model)
    cursors = draw_cursors(corpus, corpus.val, count, seed)
    if not cursors:
        raise UsageError(f"nothing was held out of {root}: there is no place to complete at")
    ours = {"model": str(subject.model), "memory": str(subject.memory), "reading": default_dtype(machine)}
    rates: dict[str, list[dict[str, float]]] = {}
    lines: list[dict[str, float]] = []
    agreeing = []
    with contenders(learned, ours, machine.cores, report) as asked:
        report.phase("tokens")
        for number, cursor in enumerate(cursors):
            report.update(number / len(cursors), f"cursor {number} of {count}")
            text = corpus.text(corpus.val[cursor.document])
            prompt = learned.tokenizer.encode(text[: cursor.begin])[-(learned.config.context_length - TOKENS - 1) :]
            written = {}
            for name, contender in asked.items() if prompt else ():
                drafted = {"drafts": name.endswith("drafts")} if name.startswith("ours") else {}
                found = contender.ask("decode", prompt=prompt, count=TOKENS, **drafted)
                written[name] = found["tokens"]
                rate = {"prefill": found["read"] / found["prefill_seconds"], "decode": TOKENS / found["seconds"]}
                rates.setdefault(name, []).append(rate)
            agreeing.append(written.get("ours") == written.get("ours with drafts"))
    with ExitStack() as stack:  # nobody else is there now, and nothing is compared
        report.phase("lines")
        alone = start(OURS, {**ours, "threads": 1}, stack)
        for number, cursor in enumerate([*cursors[:1], *cursors]):  # at first kernels are loaded
            report.update(number / len(cursors), f"cursor {number} of {count}")
            document = corpus.val[cursor.document]
            text = corpus.text(document)
            around = {"prefix": text[: cursor.begin], "suffix": text[cursor.end :], "typed": text[cursor.begin :][:1]}
            told = {name: part.decode("latin-1") for name, part in around.items()}
            lines.append(alone.ask("line", **told, path=document.path, window=WINDOW))
        del lines[0]
    return {
        "cursors": len(cursors),
        "tokens_per_second": {name: summary(found) for name, found in rates.items()},
        "drafts_change_nothing": all(agreeing),
        "seconds": {name: percentiles([line[name] for line in lines]) for name in lines[0]},
        "seed": seed,
        **circumstances_of(machine),
    }


@contextmanager
def contenders(learned: Learned, ours: dict[str, str], cores: int, report: Reporter) -> Iterator[dict[str, Contender]]:
    """Those that are installed, each in a process of its own, with one thread and with as many as there are cores."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cllm-bench-")))

        report.phase("start")
        mine = start(OURS, {**ours, "threads": 1}, stack)
        found = {"ours": mine, "ours with drafts": mine}
        if importlib.util.find_spec("xllamacpp"):
            for kind in KINDS:
                write_gguf(learned, folder / f"{kind}.gguf", kind)
                for threads in sorted({1, cores}):
                    told = {"file": str(folder / f"{kind}.gguf"), "threads": threads}
                    found[f"llama.cpp {kind}, threads: {threads}"] = start(LLAMA, told, stack)
        if importlib.util.find_spec("transformers"):
            (folder / "transformers").mkdir()
            write_huggingface(learned, folder / "transformers")
            found["transformers"] = start(TRANSFORMERS, {"file": str(folder / "transformers"), "threads": 1}, stack)
        yield found


def start(module: str, told: dict[str, Any], stack: ExitStack) -> Contender:
    """A contender, until the stack is left."""
    environment = {**worker_environment(), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    nursery = stack.enter_context(Nursery([module], {**environment, "PATH": os.environ.get("PATH", "")}))
    return Contender(stack.enter_context(Sphere(nursery, module, 1)), told)


def summary(rates: list[dict[str, float]]) -> dict[str, float]:
    """Medians."""
    return {name: statistics.median(rate[name] for rate in rates) for name in ("prefill", "decode")}


def percentiles(seconds: list[float]) -> dict[str, float]:
    """The middle one, and the one that 95 in 100 are below."""
    ordered = sorted(seconds)
    return {"p50": statistics.median(ordered), "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}
