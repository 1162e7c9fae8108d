"""Samples of texts with and without secrets, as files DIR/SOURCE.jsonl, one JSON object a line:

    {"text": "token = ...", "secrets": ["..."], "rule": "github-pat"}

SOURCE names the project whose samples they are. `secrets` are parts of the text; an empty list makes a negative sample,
a text in which nothing is to be replaced. `rule` groups samples in the report and can be left out. The folder is made
once, from the samples and tests of other projects, and is not part of this repository.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A text and the secrets in it."""

    text: str
    secrets: tuple[str, ...]
    rule: str = ""


def load_samples(folder: Path) -> dict[str, list[Sample]]:
    """The samples of each source; UsageError if the folder has none, or a line is not as above."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UsageError(f"--samples {folder}: there is no SOURCE.jsonl in this folder")
    return {file.stem: _load(file) for file in files}


def _load(file: Path) -> list[Sample]:
    samples = []
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            samples.append(_sample(json.loads(line), f"{file}, line {number}"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    return samples


def _sample(record: Any, place: str) -> Sample:
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise UsageError(f"{place}: expected an object with a text, as in cllm/bench/secrets/samples.py")
    text, secrets = record["text"], record.get("secrets")
    if not isinstance(secrets, list) or not all(isinstance(each, str) and each and each in text for each in secrets):
        raise UsageError(f"{place}: expected `secrets`, a list of parts of the text")
    return Sample(text=text, secrets=tuple(secrets), rule=str(record.get("rule", "")))
