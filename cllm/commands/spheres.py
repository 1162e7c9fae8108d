"""`cllm spheres simulate`: estimate steps with more workers and machines, by a cost model measured on this machine."""

import argparse
import sys
from typing import Any

from cllm.commands.output import print_result
from cllm.commands.parser import Parser, Subparsers, add_json

PARTS = ("compute", "sum", "exchange", "update", "messages")
HEADER = ["workers", "machines", "fan-out", "levels", *PARTS, "step (ms)", "tokens/s", "efficiency", "link (MB)"]
FANOUT_HEADING = "the most workers, by fan-out of the tree of machines; the last is flat:"


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("spheres", help="estimate training with more workers and machines")
    kinds = parser.add_subparsers(title="questions", required=True, metavar="QUESTION", parser_class=Parser)
    simulate = kinds.add_parser("simulate", help="time, efficiency and traffic of a step, by the number of workers")
    workers = simulate.add_argument("--workers", type=int, nargs="+", default=[12, 144, 1728, 20_736], metavar="N")
    workers.help = "total workers, one per core (default 12 144 1728 20736)"
    simulate.add_argument("--cores", type=int, default=12, metavar="N", help="of each machine (default 12)")
    simulate.add_argument("--network", default="3x192", metavar="LxD", help="layers x width (default 3x192)")
    simulate.add_argument("--context", type=int, default=256, metavar="TOKENS", help="of a micro-batch (default 256)")
    simulate.add_argument("--gbit", type=float, default=1.0, metavar="X", help="of each machine's link (default 1)")
    simulate.add_argument("--latency-ms", type=float, default=0.1, metavar="X", help="of a link (default 0.1)")
    simulate.add_argument("--sync-every", type=int, default=1, metavar="STEPS", help="between exchanges (default 1)")
    add_json(simulate)
    simulate.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Measure and simulate."""
    from cllm.interrupt import InterruptHandler
    from cllm.operations.simulate import Scenario, simulate
    from cllm.progress import reporter

    scenario = Scenario(
        workers=tuple(options.workers),
        cores=options.cores,
        network=options.network,
        context_length=options.context,
        gigabits_per_second=options.gbit,
        latency_ms=options.latency_ms,
        sync_every=options.sync_every,
    )
    with InterruptHandler(), reporter(sys.stderr) as report:
        found = simulate(scenario, report)
    print_result(options, found, simulation_table)
    return 0


def simulation_table(found: dict[str, Any]) -> str:
    """A row for each number of workers, then for each fan-out, and the measured and assumed values."""
    cells = [HEADER, *(row_cells(row) for row in [*found["workers"], *found["fanouts"]])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    end = 1 + len(found["workers"])
    by_fanout = ["", FANOUT_HEADING, *lines[end:]] if found["fanouts"] else []
    return "\n".join([*lines[:end], *by_fanout, "", assumptions(found)])


def row_cells(row: dict[str, Any]) -> list[str]:
    """A row of the table as text."""
    topology = [f"{row['workers']:,}", f"{row['machines']:,}", f"{row['fanout']:,}", str(row["levels"])]
    times = [f"{row[name] * 1e3:,.1f}" for name in (*PARTS, "seconds")]
    rest = [f"{row['tokens_per_second']:,.0f}", f"{row['efficiency']:.0%}", f"{row['link_bytes'] / 1e6:,.1f}"]
    return [*topology, *times, *rest]


def assumptions(found: dict[str, Any]) -> str:
    """The measured values of this machine, and the assumptions about others."""
    scenario, costs, machine = found["scenario"], found["costs"], found["machine"]
    return (
        f"measured here ({machine['cores']} cores, {machine['cpu']}, {machine['dtype']}): {scenario['network']}, "
        f"{found['parameters'] / 1e6:.2f} M parameters; a micro-batch of {costs['tokens_per_micro_batch']} tokens: "
        f"{costs['micro_batch_seconds'] * 1e3:.1f} ms of a core, an update: {costs['update_seconds'] * 1e3:.1f} ms, "
        f"a message: {costs['message_seconds'] * 1e6:.0f} us, sums: {costs['sum_bytes_per_second'] / 1e9:.1f} GB/s.\n"
        f"Assumed: machines of {scenario['cores']} such cores, links of {scenario['gigabits_per_second']:g} Gbit/s and "
        f"{scenario['latency_ms']:g} ms without other traffic, exchanges every {scenario['sync_every']} steps, one "
        "micro-batch for each worker (12, 144, 1,728, ...: the step grows with them). Beyond 144 workers this is not "
        "implemented."
    )
