"""`cllm top`: live terminal view of a training: what each worker does (compute, reduce, wait), and the loss."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cllm.operations.info import repository_info
from cllm.spheres.telemetry import flatten
from cllm.stages.history import read_history
from cllm.workspace.run import Run
from cllm.workspace.workspace import Workspace

FRAME_SECONDS = 0.5
BAR_WIDTH, NARROW_BAR_WIDTH = 20, 8
WIDE_COLUMNS = 112  # minimum width for all columns; narrower terminals omit `process` and `replaced`
NUMBERS = ("micro-batches", "batches", "tokens/s", "memory", "replaced")  # right-justified
BLOCKS = "▁▂▃▄▅▆▇█"


def show_top(root: Path, console: Console, once: bool) -> None:
    """Show the training of a repository until it ends, or once."""
    found = repository_info(root)
    if once:
        console.print(render(root, found, console.width))
        return
    with Live(render(root, found, console.width), console=console, auto_refresh=False) as live:
        while found.get("state") == "training":
            time.sleep(FRAME_SECONDS)
            found = repository_info(root)
            live.update(render(root, found, console.width), refresh=True)


def render(root: Path, found: dict[str, Any], width: int = WIDE_COLUMNS) -> Group:
    """A frame of `width` columns from `repository_info` (`cllm.operations.info`)."""
    run = found.get("run")
    if found.get("state") != "training" or run is None:
        state = {"training": "is being prepared", "finished": "is finished", "interrupted": "was interrupted"}
        return Group(Text(f"{found['repository']}: the run {state.get(found.get('state', ''), 'was never started')}"))
    unfinished = Workspace(root).unfinished()
    history = read_history(Run(unfinished).history_path) if unfinished else []
    return Group(header(found, run), *worker_table(found, width >= WIDE_COLUMNS), *loss_line(history, width))


def header(found: dict[str, Any], run: dict[str, Any]) -> Text:
    """The run's state in three lines."""
    text = Text(f"{found['repository']}\n", "bold")
    text.append(
        f"step {run['step']:,} of {run['steps']:,} ({run['progress']:.0%})  {run['tokens_per_second']:,.0f} tokens/s  "
        f"loss {run['loss']:.3f}\n"
        f"gradient norm {run['gradient_norm']:.2f}  checkpoint at {run['last_checkpoint_step']:,}",
        "not bold",
    )
    return text


def worker_table(found: dict[str, Any], is_wide: bool) -> list[Any]:
    """Node Zero, and the workers below it."""
    control = found["control"]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    rows = [worker_cells(sphere, worker, is_wide) for sphere, worker in flatten(found["workers"])]
    for name in rows[0] if rows else ():
        is_name = not name  # the only column that is cut, if a machine's address is long
        table.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=not is_name, overflow="ellipsis")
    for row in rows:
        table.add_row(*row.values())
    return [Text(f"Node Zero  {control['pid']}  control  {control['cpu_share']:.1%} of a core"), table]


def worker_cells(sphere: str, worker: dict[str, Any], is_wide: bool) -> dict[str, str | Text]:
    """A worker's row, by column. `memory` is resident memory, shared pages included."""
    bar = time_bar(worker["compute_share"], worker["reduce_share"], BAR_WIDTH if is_wide else NARROW_BAR_WIDTH)
    cells: dict[str, str | Text] = {"": f"{'  ' if sphere else ''}{worker_name(worker)}"}
    if is_wide:
        cells["process"] = str(worker["pid"])
    cells["micro-batches" if is_wide else "batches"] = str(worker["num_micro_batches"])
    cells["tokens/s"] = f"{worker['tokens_per_second']:,.0f}"
    cells["compute, reduce, wait"] = bar
    cells["memory"] = f"{worker['memory_bytes'] / 1e6:,.0f} MB"
    if is_wide:
        cells["replaced"] = str(worker["num_replacements"] or "")
    return cells


def worker_name(worker: dict[str, Any]) -> str:
    """A worker's or control node's rank, or a machine's address."""
    if "workers" not in worker:
        return f"worker {worker['rank']}"
    return worker["name"] or f"control {worker['rank']}"


def time_bar(compute_share: float, reduce_share: float, width: int = BAR_WIDTH) -> Text:
    """The shares of a worker's time as a bar of `width` blocks, and in percent."""
    computed = round(width * min(1.0, compute_share))
    reduced = min(width - computed, round(width * reduce_share))
    bar = Text("█" * computed, "green")
    bar.append("█" * reduced, "cyan")
    bar.append("░" * (width - computed - reduced), "dim")
    bar.append(f" {compute_share:4.0%} {reduce_share:4.0%} {max(0.0, 1 - compute_share - reduce_share):4.0%}", "")
    return bar


def loss_line(history: Sequence[dict[str, float]], width: int) -> list[Text]:
    """The loss over time as a sparkline; empty with fewer than 2 samples."""
    losses = [sample["loss"] for sample in history]
    if len(losses) < 2:
        return []
    return [Text(f"loss {losses[0]:.2f} {sparkline(losses, min(60, width - 20))} {losses[-1]:.2f}")]


def sparkline(values: Sequence[float], width: int) -> str:
    """Values as blocks of rising height, at most `width` of them."""
    step = max(1.0, len(values) / width)
    shown = [values[int(index * step)] for index in range(min(width, len(values)))]
    low, high = min(shown), max(shown)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * scale)] for value in shown)
