"""The programs that an export is for, each in a process of its own: no product imports them, and they may fail.

A process is given a folder with `input.json` and the export, and leaves in it `output.json` and `scores.safetensors`:

    input.json          texts (strings); prompts (ids), the last of which is to fill the gap between the texts prefix
                        and suffix; vocab_size; max_tokens
    output.json         version; ids of each text; texts, those ids' text again; generated, the ids that it writes
                        after each prompt by taking the likeliest; num_infill_tokens, of how many ids it makes the
                        prompt of prefix and suffix
    scores.safetensors  "0", "1", ...: of the same prompts, logits or log-probabilities (n, V), of which the last are
                        those by which each of the generated ids was chosen; all -inf where it does not say them
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

TIMEOUT_SECONDS = 600.0  # that a process may take
MAX_REASON_CHARACTERS = 300  # of its words, when it fails
# Nothing is looked for in a network, and nothing is imported from the current folder, which may be a repository.
# Threads of a busy machine wait for one another: two took transformers 20 s where one took 5 (libuv, 2026-11-27).
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
    """A program: its name, the package that it is in, the module that runs it, and what its rows are."""

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
    """What a peer says of a material, see above."""

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
    """Have a peer read an export and speak of the material. ExportError: it cannot, with its words."""
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
        raise ExportError(
            f"{runtime.name} did not come to an end with what was written in {TIMEOUT_SECONDS:.0f} s"
        ) from None
    if done.returncode:
        raise ExportError(f"{runtime.name} cannot use what was written: {_reason(done.stderr, done.returncode)}")


def _reason(errors: str, code: int) -> str:
    """Why a process failed: of a traceback the first line that names the error, else the last line."""
    lines = errors.rpartition("Traceback (most recent call last):")[2].strip("\n").splitlines()
    named = [line for line in lines if line and not line[0].isspace()]
    reason = (named[0] if "Traceback" in errors else named[-1]) if named else f"it ended with exit code {code}"
    return reason[:MAX_REASON_CHARACTERS]
