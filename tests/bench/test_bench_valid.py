"""`cllm bench valid` of a trained repository of C."""

import json
import shutil

import pytest
from commandline import Cllm

from cllm.syntax.error_count import count_errors


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_bench_valid_reports_consistent_metrics_and_prompts(trained: Cllm) -> None:
    done = trained("bench", "valid", "-n", "6", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["completions"] == 6 and found["fill_in_the_middle"]["completions"] == 3
    assert len(found["invalid"]) == round(6 * (1 - found["valid"]))
    assert [each["prompt"] for each in found["prompts"]] == ["int main", "struct", "#include", "void function"]
    for each in found["prompts"]:
        assert each["completions"] == len(each["texts"]) == 10
        assert 0 <= each["num_compiling"] <= each["num_parsing"], "text that compiles also parses"
        assert each["num_parsing"] == sum(count_errors("C", text.encode() + b"\n") == 0 for text in each["texts"])
        assert all(text.startswith(each["prompt"]) for text in each["texts"])
