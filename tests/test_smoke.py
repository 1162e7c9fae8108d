"""Smoke test: train on a small repository and complete a prompt; takes seconds."""

import json

from commandline import Cllm


def test_train_and_complete(trained: Cllm) -> None:
    card = trained.scorecard()
    bits = card["bits_per_byte"]
    assert 0 < bits["mixed"] < bits["model"] < 8 and 0 < bits["memory"] < 8
    done = trained("complete", "int open_", "--max-tokens", "20", "--json")
    assert done.returncode == 0, done.stderr
    (completion,) = json.loads(done.stdout)["completions"]
    assert completion["text"] and completion["finish_reason"] in ("stop", "length")
