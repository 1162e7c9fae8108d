"""`cllm doctor`: the hardware and programs of this machine that CLLM uses, and its matrix speed."""

import argparse
from typing import Any

from cllm.commands.output import aligned, print_result
from cllm.commands.parser import Subparsers, add_json

# Programs, and the message if one is missing.
PROGRAMS = {
    "gcc": "missing: needed to check whether generated C compiles (apt install gcc)",
    "venv": "missing: `make` needs it (apt install python3-venv)",
    "make": "missing: README's `make` commands need it (apt install make)",
    "git": "missing: not needed to train on a repository",
}


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("doctor", help="hardware, programs and matrix speed of this machine")
    add_json(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Measure this machine."""
    from cllm.operations.doctor import machine_report

    print_result(options, machine_report(), doctor_table)
    return 0


def doctor_table(found: dict[str, Any]) -> str:
    """The machine report as a table; for each program, "found" or why it is needed."""
    machine = found["machine"]
    speeds = [
        (f"  {name.replace('_', ' ')}", f"{speed:,.0f} GFLOP/s") for name, speed in found["matrix_gflops"].items()
    ]
    programs = [
        ("python3-venv" if name == "venv" else name, "found" if machine[name] else missing)
        for name, missing in PROGRAMS.items()
    ]
    return aligned(
        [
            ("system", machine["system"]),
            ("processor", f"{machine['cpu']}, {machine['cores']} cores usable"),
            ("memory", f"{machine['memory_bytes'] / 1e9:.1f} GB, {machine['available_bytes'] / 1e9:.1f} GB free"),
            ("features", " ".join(machine["features"]) or "unknown"),
            ("Python, PyTorch", f"{found['python']}, {found['torch']}"),
            ("dtype", f"{found['dtype']}; PyTorch's kernels for {found['matrix_path']}"),
            *speeds,
            *programs,
        ]
    )
