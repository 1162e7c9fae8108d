"""`cllm top`: the sphere of a training, live in the terminal: who computes, reduces or waits; how the loss falls."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cllm.info import information
from cllm.run import Run
from cllm.spheres.telemetry import flat
from cllm.stages.history import read_history
from cllm.workspace import Workspace

FRAME_SECONDS = 0.5
BAR_WIDTH = 20
BLOCKS = "▁▂▃▄▅▆▇█"
COLOURS = {"working": "green", "waiting": "yellow", "joining": "blue", "control": "magenta"}


def watch(root: Path, console: Console, once: bool) -> None:
    """Show the training of a repository until it ends, or once."""
    found = information(root)
    if once:
        console.print(frame(root, found))
        return
    with Live(frame(root, found), console=console, auto_refresh=False) as live:
        while found.get("state") == "learning":
            time.sleep(FRAME_SECONDS)
            found = information(root)
            live.update(frame(root, found), refresh=True)


def frame(root: Path, found: dict[str, Any]) -> Group:
    """One picture of the sphere, of what is known about a repository (`cllm.info`)."""
    run = found.get("run")
    if found.get("state") != "learning" or run is None:
        state = {"learning": "makes ready", "finished": "is finished", "interrupted": "was interrupted"}
        return Group(Text(f"{found['repository']}: the run {state.get(found.get('state', ''), 'was never begun')}"))
    unfinished = Workspace(root).unfinished()
    history = read_history(Run(unfinished).history) if unfinished else []
    return Group(head(found, run), *tree(found), *course(history))


def head(found: dict[str, Any], run: dict[str, Any]) -> Text:
    """The run, in two lines."""
    text = Text(f"{found['repository']}\n", "bold")
    text.append(
        f"step {run['step']:,} of {run['steps']:,} ({run['progress']:.0%})  {run['tokens_per_second']:,.0f} tokens/s  "
        f"loss {run['loss']:.3f}  gradient {run['gradient_norm']:.2f}  checkpoint at {run['last_checkpoint_step']:,}",
        "not bold",
    )
    return text


def tree(found: dict[str, Any]) -> list[Any]:
    """Node Zero, and the workers that touch it."""
    control = found["control"]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "process", "state", "positions", "tokens/s", "computes, reduces, waits", "memory", "replaced"):
        table.add_column(name, justify="right" if name in ("positions", "tokens/s", "memory", "replaced") else "left")
    for sphere, worker in flat(found["workers"]):
        state = worker["state"]
        table.add_row(
            f"{'  ' if sphere else ''}{name_of(worker)}",
            str(worker["pid"]),
            Text(state, COLOURS.get(state, "")),
            str(worker["positions"]),
            f"{worker['tokens_per_second']:,.0f}",
            time_bar(worker["computing"], worker["reducing"]),
            f"{worker['memory_bytes'] / 1e6:,.0f} MB",
            str(worker["replaced"] or ""),
        )
    return [Text(f"Node Zero  {control['pid']}  control  {control['processor']:.1%} of a core"), table]


def name_of(worker: dict[str, Any]) -> str:
    """A worker's rank, a control node's, or a machine's address."""
    if "workers" not in worker:
        return f"worker {worker['rank']}"
    return worker["name"] or f"control {worker['rank']}"


def time_bar(computing: float, reducing: float) -> Text:
    """The shares of a worker's time."""
    computed = round(BAR_WIDTH * min(1.0, computing))
    reduced = min(BAR_WIDTH - computed, round(BAR_WIDTH * reducing))
    bar = Text("█" * computed, "green")
    bar.append("█" * reduced, "cyan")
    bar.append("░" * (BAR_WIDTH - computed - reduced), "dim")
    bar.append(f" {computing:4.0%} {reducing:4.0%} {max(0.0, 1 - computing - reducing):4.0%}", "")
    return bar


def course(history: Sequence[dict[str, float]]) -> list[Text]:
    """How the loss fell, as far as it is known."""
    losses = [sample["loss"] for sample in history]
    if len(losses) < 2:
        return []
    return [Text(f"loss {losses[0]:.2f} {sparkline(losses, 60)} {losses[-1]:.2f}")]


def sparkline(values: Sequence[float], width: int) -> str:
    """Values as blocks, the least the lowest, at most so many wide."""
    step = max(1.0, len(values) / width)
    shown = [values[int(place * step)] for place in range(min(width, len(values)))]
    least, most = min(shown), max(shown)
    scale = (len(BLOCKS) - 1) / (most - least) if most > least else 0.0
    return "".join(BLOCKS[round((value - least) * scale)] for value in shown)
