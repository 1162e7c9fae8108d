"""`cllm bench secrets`: recall, false replacements and speed of the redaction, beside other engines, by source."""

import dataclasses
import functools
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from cllm.bench.secrets.engines import ENGINES
from cllm.bench.secrets.samples import Sample, load_samples
from cllm.bench.shared.config import machine_report
from cllm.errors import CllmError
from cllm.machine import detect_machine
from cllm.progress import Reporter

TIMEOUT_SECONDS = 1800.0  # of one engine
# A user and network namespace of its own, in which there is no network interface.
_WITHOUT_NETWORK = ("unshare", "--map-root-user", "--net")


def bench_secrets(folder: Path, report: Reporter) -> dict[str, Any]:
    """Judge each engine that is installed on the samples of the other projects.

    `engines`: by engine and source, `recall` (share of the positive samples of which no secret is left), `false` (share
    of the negative ones that were changed), `megabytes_per_second` (of the source's samples as one text) and `missed`
    (positive samples by rule). UsageError: the samples are not usable. CllmError: an engine's process fails.
    """
    sources = load_samples(folder)
    installed = {name: each for name, each in ENGINES.items() if importlib.util.find_spec(each.module)}
    engines = {}
    report.start_phase("secrets")
    for number, (name, engine) in enumerate(installed.items()):
        report.update(number / len(installed), name)
        judged = {source: samples for source, samples in sources.items() if source not in engine.own_sources}
        engines[name] = {source: _shares(found) for source, found in _run(name, judged).items()}
    return {
        "sources": {
            source: {
                "positive": sum(bool(sample.secrets) for sample in samples),
                "negative": sum(not sample.secrets for sample in samples),
            }
            for source, samples in sources.items()
        },
        "engines": engines,
        "not_installed": sorted(ENGINES.keys() - installed.keys()),
        "is_without_network": bool(_isolation()),
        **machine_report(detect_machine()),
    }


def _run(name: str, sources: dict[str, list[Sample]]) -> dict[str, dict[str, Any]]:
    """What the process of an engine did with samples, by source."""
    records = {source: [dataclasses.asdict(sample) for sample in samples] for source, samples in sources.items()}
    command = [*_isolation(), sys.executable, "-P", "-m", f"cllm.bench.secrets.{ENGINES[name].process}"]
    try:
        done = subprocess.run(
            command, input=json.dumps(records), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise CllmError(f"{name} has not finished within {TIMEOUT_SECONDS:.0f} s: use fewer samples") from None
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise CllmError(f"{name} failed on the samples: {last_line}")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@functools.cache
def _isolation() -> tuple[str, ...]:
    """The command that runs a process without a network, where the system allows it to this user; else nothing."""
    if not shutil.which(_WITHOUT_NETWORK[0]):
        return ()
    allowed = subprocess.run([*_WITHOUT_NETWORK, "true"], capture_output=True, check=False).returncode == 0
    return _WITHOUT_NETWORK if allowed else ()


def _shares(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "recall": found["found"] / found["positive"] if found["positive"] else None,
        "false": found["false"] / found["negative"] if found["negative"] else None,
        "megabytes_per_second": found["megabytes_per_second"],
        "missed": found["missed"],
    }
