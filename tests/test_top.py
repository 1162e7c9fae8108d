"""`cllm top`: rendering of the status and the command during and after a run."""

import io
import json
from pathlib import Path

import pytest
from commandline import Cllm, wait_for
from rich.console import Console

from cllm.commands.top_view import WIDE_COLUMNS, render, sparkline, time_bar


def test_time_bar_shares_sum_to_100_percent() -> None:
    assert time_bar(0.5, 0.25).plain == "███████████████░░░░░  50%  25%  25%"
    assert time_bar(1.0, 0.2).plain.startswith("█" * 20 + " ")
    assert time_bar(0.0, 0.0).plain == "░" * 20 + "   0%   0% 100%"


@pytest.mark.parametrize(
    ("values", "line"),
    [([1.0, 8.0], "▁█"), ([3.0, 3.0, 3.0], "▁▁▁"), ([float(n) for n in range(8)], "▁▂▃▄▅▆▇█"), ([5.0] * 500, "▁" * 60)],
)
def test_sparkline_scales_values_and_truncates_to_the_width(values: list[float], line: str) -> None:
    assert sparkline(values, 60) == line


def test_render_lists_node_zero_and_its_workers(tmp_path: Path) -> None:
    run = {"step": 30, "steps": 40, "progress": 0.75, "tokens_per_second": 12_345.6, "loss": 2.5, "gradient_norm": 0.5}
    worker = {
        "rank": 0,
        "pid": 77,
        "num_replacements": 2,
        "num_micro_batches": 6,
        "tokens_per_second": 1_024.0,
    }
    found = {
        "repository": "here",
        "state": "training",
        "run": {**run, "last_checkpoint_step": 20},
        "control": {"pid": 5, "cpu_share": 0.031},
        "workers": [{**worker, "compute_share": 0.75, "reduce_share": 0.25, "memory_bytes": 5_000_000}],
    }
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(render(tmp_path, found, console.width))
    first, second, _, control, _, row = console.export_text().splitlines()
    assert first == "here" and second.startswith("step 30 of 40 (75%)  12,346 tokens/s  loss 2.500")
    assert control.split() == ["Node", "Zero", "5", "control", "3.1%", "of", "a", "core"]
    assert row.split() == [
        *["worker", "0", "77", "6", "1,024"],
        "█" * 20,
        *["75%", "25%", "0%", "5", "MB", "2"],
    ]
    narrow = Console(width=80, file=io.StringIO(), record=True)
    narrow.print(render(tmp_path, found, narrow.width))
    assert len(narrow.export_text().splitlines()) == 6  # no line wraps


@pytest.mark.parametrize("width", [80, WIDE_COLUMNS])
@pytest.mark.parametrize("name", ["", "192.168.100.100", "fd12:3456:789a:bcde:f012:3456:789a:bcde"])
def test_the_longest_values_fit(tmp_path: Path, width: int, name: str) -> None:
    shares = {"compute_share": 1.0, "reduce_share": 0.0, "num_replacements": 3}
    counts = {"num_micro_batches": 1728, "tokens_per_second": 123_456.0, "memory_bytes": 16_312_000_000}
    worker = {"rank": 11, "pid": 4_194_303, **shares, **counts}
    run = {"step": 30, "steps": 40, "progress": 0.75, "tokens_per_second": 1.0, "loss": 2.5, "gradient_norm": 0.5}
    found = {
        "repository": "here",
        "state": "training",
        "run": {**run, "last_checkpoint_step": 20},
        "control": {"pid": 5, "cpu_share": 0.031},
        "workers": [{**worker, "name": name, "workers": [worker]}],
    }
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(render(tmp_path, found, width))
    *_, columns, machine, row = lines = console.export_text().splitlines()
    assert len(lines) == 7 and max(map(len, lines)) <= width
    assert "…" not in columns + row and "memory" in columns
    for line in (machine, row):
        assert " ".join(line.split()).removesuffix(" 3").endswith("100% 0% 0% 16,312 MB") and " 1728 " in line
    assert name[:12] in machine


def test_top_reports_never_started_running_and_finished_runs(cllm: Cllm) -> None:
    never = cllm("top")
    assert never.returncode == 0 and "was never started" in never.stdout
    process = cllm.start_training("--steps", "40", "--workers", "2")
    wait_for(lambda: bool(cllm.status()), "a step")
    done = cllm("top", "--once")
    process.communicate()
    assert done.returncode == 0, done.stderr
    if "Node Zero" in done.stdout:  # otherwise the run has already ended
        assert "worker 0" in done.stdout and "worker 1" in done.stdout and "loss" in done.stdout
    after = cllm("top")
    assert after.returncode == 0 and "is finished" in after.stdout
    (path,) = (cllm.repository / ".cllm" / "runs").glob("*/status.json")
    status = json.loads(path.read_text())
    assert status["control"]["pid"] == process.pid and 0 <= status["control"]["cpu_share"] <= 1.5
    assert [worker["rank"] for worker in status["workers"]] == [0, 1]
    assert json.loads(cllm("info", "--json").stdout)["workers"] == []
