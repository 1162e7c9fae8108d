"""The programs that an export is for, each in a process of its own: no product imports them, and they may fail.

A process is given a folder with `asked.json` and the export, and leaves in it `said.json` and `rows.safetensors`:

    asked.json         texts (strings); prompts (ids), the last of which is to fill the gap between the texts before
                       and after; vocab_size; max_tokens
    said.json          version; ids of each text; texts, those ids' text again; written, the ids that it writes after
                       each prompt by taking the likeliest; gap, of how many ids it makes the prompt of before and after
    rows.safetensors   "0", "1", ...: of the same prompts, logits or log-probabilities (n, V), of which the last are
                       those by which each of the written ids was chosen; all -inf where it does not say them
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
from cllm.export.material import Material
from cllm.export.names import Array

SECONDS = 600.0  # that a process may take
MOST_SIGNS = 300  # of its words, when it fails
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
class Peer:
    """A program: its name, the package that it is in, the module that runs it, and what its rows are."""

    name: str
    package: str
    module: str
    compared: Literal["logits", "log-probabilities"]

    @property
    def says_logits(self) -> bool:
        return self.compared == "logits"

    @property
    def is_installed(self) -> bool:
        try:
            importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True


TRANSFORMERS = Peer("transformers", "transformers", "cllm.export.beside_transformers", "logits")
LLAMA = Peer("llama.cpp", "xllamacpp", "cllm.export.beside_llama", "log-probabilities")


@dataclass(frozen=True)
class Said:
    """What a peer says of a material, see above."""

    version: str
    ids: list[list[int]]
    texts: list[str]
    written: list[list[int]]
    gap: int
    rows: list[Array]


def ask(
    peer: Peer, export: Path, material: Material, vocab_size: int, environment: Mapping[str, str] = os.environ
) -> Said:
    """Have a peer read an export and speak of the material. ExportError: it cannot, with its words."""
    with tempfile.TemporaryDirectory(prefix="cllm-export-") as scratch:
        folder = Path(scratch)
        asked = {
            "texts": material.texts,
            "prompts": [*material.prompts, material.middle],
            "before": material.before,
            "after": material.after,
            "vocab_size": vocab_size,
            "max_tokens": material.max_tokens,
        }
        (folder / "asked.json").write_text(json.dumps(asked))
        _run(peer, [str(export.absolute()), scratch], environment)
        said: dict[str, Any] = read_object(folder / "said.json")
        rows = safetensors.numpy.load_file(folder / "rows.safetensors")
        return Said(**said, rows=[rows[str(place)] for place in range(len(rows))])


def _run(peer: Peer, arguments: list[str], environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-P", "-m", peer.module, *arguments]
    try:
        done = subprocess.run(
            command,
            env={**environment, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"{peer.name} did not come to an end with what was written in {SECONDS:.0f} s") from None
    if done.returncode:
        raise ExportError(f"{peer.name} cannot use what was written: {_reason(done.stderr, done.returncode)}")


def _reason(errors: str, code: int) -> str:
    """Why a process failed: of a traceback the first line that names the error, else the last line."""
    lines = errors.rpartition("Traceback (most recent call last):")[2].strip("\n").splitlines()
    named = [line for line in lines if line and not line[0].isspace()]
    reason = (named[0] if "Traceback" in errors else named[-1]) if named else f"it ended with exit code {code}"
    return reason[:MOST_SIGNS]
