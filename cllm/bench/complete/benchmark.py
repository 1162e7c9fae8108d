"""`cllm bench complete`: speed of tokens and lines, compared with llama.cpp and transformers on the same weights.

All backends are measured in turn, prompt by prompt, at the same cursors in held-out files: prompts of the network's
context length with NUM_TOKENS generated tokens, and lines as an editor requests them.
"""

import importlib.util
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cllm.bench.complete.new_process import drop_from_page_cache, seconds_of_command
from cllm.bench.shared.config import machine_report
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.evaluation.rest_of_line import LineCursor, draw_cursors
from cllm.export import TrainedNetwork, write_gguf, write_huggingface
from cllm.generation.predict.prompt import Window
from cllm.machine import detect_machine
from cllm.progress import Reporter
from cllm.spheres import ForkServer, Sphere
from cllm.stages.trained_model import open_scored_model
from cllm.training.launch import worker_environment
from cllm.workspace.run import current_run_of

GGUF_TYPES = ("f32", "f16", "q8_0")
NUM_TOKENS = 64  # generated after each prompt
NUM_PROCESSES = 10  # new processes of `cllm complete`, with the model's files in memory and without
# Bytes before the cursor, of the windows on the curve of accuracy and time; a quarter as many after it.
CURVE_PREFIX_BYTES = (1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 16)
MAX_CURSORS = 10_000
CLLM_MODULE, LLAMA_CPP_MODULE, TRANSFORMERS_MODULE = (
    "cllm.bench.complete.cllm_backend",
    "cllm.bench.complete.llama_cpp_backend",
    "cllm.bench.complete.transformers_backend",
)


@dataclass(frozen=True)
class DecodeBackend:
    """A backend's process, and arguments of all its calls."""

    sphere: Sphere
    common_arguments: dict[str, Any]

    def request(self, call: str, **arguments: Any) -> Any:
        (found,) = self.sphere.map_tasks(call, iter([{**self.common_arguments, **arguments}]))
        return found


def bench_complete(root: Path, count: int, seed: int, report: Reporter) -> dict[str, Any]:
    """Return tokens/s of each backend, the latency and accuracy of cllm's lines, and both by the size of the window.

    Raises UsageError if `count` is out of range or no file is held out.
    """
    if not 1 <= count <= MAX_CURSORS:
        raise UsageError(f"-n {count} is not between 1 and {MAX_CURSORS:,}")
    scored_model, machine = open_scored_model(current_run_of(root)), detect_machine()
    corpus, trained = Corpus.open(scored_model.corpus), TrainedNetwork.load(scored_model.model)
    cursors = draw_cursors(corpus, corpus.val, count, seed)
    if not cursors:
        raise UsageError(f"{root} has no held-out files to complete in")
    with start_backends(trained, scored_model.arguments, machine.cores, report) as backends:
        report.start_phase("tokens")
        decoding = measure_decoding(backends, trained, corpus, cursors, report)
    with ExitStack() as stack:  # the other backends have ended; lines are not compared
        report.start_phase("lines")
        lines = measure_lines(start_backend(CLLM_MODULE, scored_model.arguments, stack), corpus, cursors, report)
    report.start_phase("new processes")
    processes = measure_processes(root, scored_model.model.parent, corpus, cursors[:NUM_PROCESSES], report)
    default = Window()
    return {
        "cursors": len(cursors),
        **decoding,
        **line_summary(default, lines[default]),
        "windows": [line_summary(window, found) for window, found in lines.items()],
        "new_process": processes,
        "seed": seed,
        **machine_report(machine),
    }


def measure_decoding(
    backends: dict[str, DecodeBackend],
    trained: TrainedNetwork,
    corpus: Corpus,
    cursors: Sequence[LineCursor],
    report: Reporter,
) -> dict[str, Any]:
    """Return the median tokens/s of each backend over the cursors, and whether drafts change no token."""
    rates: dict[str, list[dict[str, float]]] = {}
    is_identical = []
    for number, cursor in enumerate(cursors):
        report.update(number / len(cursors), f"cursor {number} of {len(cursors)}")
        text = corpus.text(corpus.val[cursor.document])
        prompt = trained.tokenizer.encode(text[: cursor.begin])[-(trained.config.context_length - NUM_TOKENS - 1) :]
        decoded_tokens = {}
        for name, backend in backends.items() if prompt else ():
            drafted = {"drafts": name.endswith("drafts")} if name.startswith("ours") else {}
            found = backend.request("decode", prompt=prompt, count=NUM_TOKENS, **drafted)
            decoded_tokens[name] = found["tokens"]
            rate = {
                "prefill": found["num_prompt_tokens"] / found["prefill_seconds"],
                "decode": NUM_TOKENS / found["decode_seconds"],
            }
            rates.setdefault(name, []).append(rate)
        is_identical.append(decoded_tokens.get("ours") == decoded_tokens.get("ours with drafts"))
    return {
        "tokens_per_second": {name: median_rates(found) for name, found in rates.items()},
        "are_drafts_lossless": all(is_identical),
    }


def measure_lines(
    backend: DecodeBackend, corpus: Corpus, cursors: Sequence[LineCursor], report: Reporter
) -> dict[Window, list[dict[str, float]]]:
    """Return by window the result of `cllm_backend.line` at each cursor; the windows are measured in turn."""
    windows = {Window(prefix_bytes=size, suffix_bytes=size // 4) for size in CURVE_PREFIX_BYTES}
    sizes = sorted({Window(), *windows}, key=lambda window: window.prefix_bytes)
    found: dict[Window, list[dict[str, float]]] = {window: [] for window in sizes}
    for number, cursor in enumerate([*cursors[:1], *cursors]):  # the first requests load kernels
        report.update(number / len(cursors), f"cursor {number} of {len(cursors)}")
        document = corpus.val[cursor.document]
        text = corpus.text(document)
        texts = {
            "prefix": text[: cursor.begin],
            "suffix": text[cursor.end :],
            "expected": text[cursor.begin : cursor.end],
        }
        decoded = {name: part.decode("latin-1") for name, part in texts.items()}
        for window, lines in found.items():
            size = [window.prefix_bytes, window.suffix_bytes]
            lines.append(backend.request("line", **decoded, path=document.path, window=size))
    return {window: lines[1:] for window, lines in found.items()}


def measure_processes(
    root: Path, run_folder: Path, corpus: Corpus, cursors: Sequence[LineCursor], report: Reporter
) -> dict[str, dict[str, float]]:
    """Return percentiles of a new process's seconds for a line, with the run's files in the page cache and without."""
    found: dict[str, list[float]] = {"cached": [], "uncached": []}
    for number, cursor in enumerate(cursors):
        report.update(number / len(cursors), f"process {number} of {len(cursors)}")
        prefix = corpus.text(corpus.val[cursor.document])[: cursor.begin]
        drop_from_page_cache(run_folder)
        for name in ("uncached", "cached"):
            found[name].append(seconds_of_command(root, prefix))
    return {name: percentiles(seconds) for name, seconds in found.items()}


def line_summary(window: Window, lines: list[dict[str, float]]) -> dict[str, Any]:
    """Return the window, the share of exact lines with it, and the latencies in seconds."""
    names = [name for name in lines[0] if name != "exact_match"]
    return {
        "window": asdict(window),
        "exact_match": statistics.fmean(line["exact_match"] for line in lines),
        "seconds": {name: percentiles([line[name] for line in lines]) for name in names},
    }


@contextmanager
def start_backends(
    trained: TrainedNetwork, ours: dict[str, str], cores: int, report: Reporter
) -> Iterator[dict[str, DecodeBackend]]:
    """Start all installed backends, each in its own process; llama.cpp with one thread and with one per core."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cllm-bench-")))

        report.start_phase("start")
        cllm_backend = start_backend(CLLM_MODULE, ours, stack)
        found = {"ours": cllm_backend, "ours with drafts": cllm_backend}
        if importlib.util.find_spec("xllamacpp"):
            for kind in GGUF_TYPES:
                write_gguf(trained, folder / f"{kind}.gguf", kind)
                for threads in sorted({1, cores}):
                    common_arguments = {"file": str(folder / f"{kind}.gguf"), "threads": threads}
                    found[f"llama.cpp {kind}, threads: {threads}"] = start_backend(
                        LLAMA_CPP_MODULE, common_arguments, stack
                    )
        if importlib.util.find_spec("transformers"):
            (folder / "transformers").mkdir()
            write_huggingface(trained, folder / "transformers")
            found["transformers"] = start_backend(
                TRANSFORMERS_MODULE, {"file": str(folder / "transformers"), "threads": 1}, stack
            )
        yield found


def start_backend(module: str, common_arguments: dict[str, Any], stack: ExitStack) -> DecodeBackend:
    """Start a backend, which runs until `stack` is closed."""
    environment = {**worker_environment(), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    fork_server = stack.enter_context(ForkServer([module], {**environment, "PATH": os.environ.get("PATH", "")}))
    return DecodeBackend(stack.enter_context(Sphere(fork_server, module, 1)), common_arguments)


def median_rates(rates: list[dict[str, float]]) -> dict[str, float]:
    """Return the median prefill and decode rates in tokens/s."""
    return {name: statistics.median(rate[name] for rate in rates) for name in ("prefill", "decode")}


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return the median and the 95th percentile of latencies in seconds."""
    ordered = sorted(seconds)
    return {"p50": statistics.median(ordered), "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}
