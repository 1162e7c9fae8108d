"""Runtimes that load an export, each in a separate process: cllm itself never imports them, and they may crash.

A process is given the export and a folder with `input.json`, and writes `output.json` and `scores.safetensors` there:

    input.json          texts (strings); prompts (ids), the last of which is the infill prompt of prefix and suffix;
                        prefix and suffix (strings); vocab_size; max_tokens
    output.json         version; ids, those of each text; texts, decoded from these ids; generated, the greedy
                        completion (ids) of each prompt; num_infill_tokens, the length of the runtime's own infill
                        prompt for prefix and suffix
    scores.safetensors  "0", "1", ...: logits or log-probabilities (n, V) for the same prompts; the last rows are those
                        from which the generated ids were chosen; a row is all -inf if the runtime does not return it
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.numpy

from cllm.artifacts import read_object
from cllm.errors import ExportError
from cllm.export.tensor_names import Array
from cllm.export.verification_set import VerificationSet

TIMEOUT_SECONDS = 600.0  # time limit of a process
MAX_REASON_CHARACTERS = 300  # of the error message of a failed process
# No network access, and no imports from the current folder, which may be a repository. One thread: on a busy machine
# threads wait for each other, and transformers took 20 s with two threads and 5 s with one (libuv, 2026-11-27).
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONSAFEPATH": "1",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Runtime:
    """A runtime: its name, its Python package, the module of its process, and the kind of scores that it returns."""

    name: str
    package: str
    module: str
    output_kind: Literal["logits", "log-probabilities"]

    @property
    def returns_logits(self) -> bool:
        return self.output_kind == "logits"

    @property
    def is_installed(self) -> bool:
        try:
            importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True


TRANSFORMERS = Runtime("transformers", "transformers", "cllm.export.transformers_process", "logits")
LLAMA = Runtime("llama.cpp", "xllamacpp", "cllm.export.llama_cpp_process", "log-probabilities")


@dataclass(frozen=True)
class RuntimeOutput:
    """A runtime's output for a verification set; fields as in the module's docstring, scores (n, V) per prompt."""

    version: str
    ids: list[list[int]]
    texts: list[str]
    generated: list[list[int]]
    num_infill_tokens: int
    scores: list[Array]


def run_export(
    runtime: Runtime,
    export: Path,
    verification_set: VerificationSet,
    vocab_size: int,
    environment: Mapping[str, str] = os.environ,
) -> RuntimeOutput:
    """Run a runtime on an export and a verification set.

    Raises ExportError with the runtime's message if it fails or exceeds the time limit.
    """
    with tempfile.TemporaryDirectory(prefix="cllm-export-") as scratch:
        folder = Path(scratch)
        inputs = {
            "texts": verification_set.texts,
            "prompts": [*verification_set.prompts, verification_set.infill_prompt],
            "prefix": verification_set.prefix,
            "suffix": verification_set.suffix,
            "vocab_size": vocab_size,
            "max_tokens": verification_set.max_tokens,
        }
        (folder / "input.json").write_text(json.dumps(inputs))
        _run(runtime, [str(export.absolute()), scratch], environment)
        output: dict[str, Any] = read_object(folder / "output.json")
        scores = safetensors.numpy.load_file(folder / "scores.safetensors")
        return RuntimeOutput(**output, scores=[scores[str(index)] for index in range(len(scores))])


def _run(runtime: Runtime, arguments: list[str], environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-P", "-m", runtime.module, *arguments]
    try:
        done = subprocess.run(
            command,
            env={**environment, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"{runtime.name} did not finish with the export within {TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode:
        raise ExportError(f"{runtime.name} cannot use the export: {_reason(done.stderr, done.returncode)}")


def _reason(errors: str, code: int) -> str:
    """Return why a process failed: the first line of a traceback that names the error, else the last line."""
    lines = errors.rpartition("Traceback (most recent call last):")[2].strip("\n").splitlines()
    named = [line for line in lines if line and not line[0].isspace()]
    reason = (named[0] if "Traceback" in errors else named[-1]) if named else f"it ended with exit code {code}"
    return reason[:MAX_REASON_CHARACTERS]
