"""`cllm bench cursors` of a trained repository of C."""

import json

from commandline import Cllm

from cllm.evaluation.gaps import KINDS


def test_bench_cursors_reports_shares_by_kind_and_line_end(trained: Cllm) -> None:
    done = trained("bench", "cursors", "-n", "2", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for kinds in (found["kinds"], found["crlf"]):
        assert set(kinds) == set(KINDS)
        for shares in kinds.values():
            assert 1 <= shares["count"] <= 2
            for name in ("exact_match", "harm", "silent", "repeats_neighbour"):
                assert 0 <= shares[name] <= 1
            assert shares["exact_match"] + shares["harm"] + shares["silent"] <= 1
    count = sum(shares["count"] * shares["harm"] for shares in found["kinds"].values())
    assert len(found["harmful"]) == round(count)
    table = trained("bench", "cursors", "-n", "1")
    assert table.returncode == 0 and "nothing missing" in table.stdout
