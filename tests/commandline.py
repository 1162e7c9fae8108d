"""A repository of forty small C files, and the command line run in it as a subprocess."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL_CONFIG = """
[tokenizer]
vocab_size = 400
[model]
n_layer = 2
n_embd = 32
n_head = 2
n_kv_head = 2
head_dim = 16
n_inner = 64
[training]
dropout = 0.05
[run]
checkpoint_seconds = 0.2
"""
VERBS = ("open", "close", "read", "write", "flush")


def source(number: int) -> str:
    verb = VERBS[number % len(VERBS)]
    functions = "".join(
        f"int {verb}_stream_{number}_{part}(struct stream *stream) {{\n"
        f"  if (stream->{verb}_count > {part})\n    return -1;\n  return stream->{verb}_count++;\n}}\n\n"
        for part in range(1 + number % 4)
    )
    return f'#include "stream.h"\n\n/* How to {verb} stream {number}. */\n{functions}'


@dataclass(frozen=True)
class Cllm:
    """The `cllm` command, run in a repository with a configuration for a small model."""

    repository: Path
    config: Path

    def popen(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "cllm", *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, **{"cwd": self.repository, **pipes, **options})

    def __call__(
        self, *arguments: str, text: str = "", environment: dict[str, str] | None = None, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        process = self.popen(
            *arguments, stdin=subprocess.PIPE, env={**os.environ, **(environment or {})}, cwd=cwd or self.repository
        )
        out, err = process.communicate(text)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def train(self, *arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return self("train", "--config", str(self.config), *arguments, environment=environment)

    def start_training(self, *arguments: str) -> "subprocess.Popen[str]":
        return self.popen("train", "--config", str(self.config), *arguments, stdout=subprocess.DEVNULL)

    def scorecard(self) -> dict[str, Any]:
        return json.loads((self.repository / ".cllm" / "scorecard.json").read_text())  # type: ignore[no-any-return]

    def status(self) -> dict[str, Any]:
        """Status of the newest run; empty before training starts."""
        for path in sorted((self.repository / ".cllm" / "runs").glob("*/status.json"), reverse=True):
            return json.loads(path.read_text())["run"]  # type: ignore[no-any-return]
        return {}


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.01)


def make_repository(folder: Path) -> Path:
    for number in range(40):
        path = folder / ("src" if number % 3 else "test") / f"{VERBS[number % len(VERBS)]}_{number}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source(number))
    (folder / "README.md").write_text("# Streams\n\nOpen, read, write, flush, close.\n" * 3)
    return folder


def make_cllm(folder: Path) -> Cllm:
    config = folder / "small.toml"
    config.write_text(SMALL_CONFIG)
    return Cllm(make_repository(folder / "repository"), config)
