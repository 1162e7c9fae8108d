"""`cllm export`: write the network in other programs' formats, and verify it in them."""

import argparse
import sys
from pathlib import Path
from typing import Any

from cllm.commands.output import Rows, aligned, print_result
from cllm.commands.parser import Parser, Subparsers, add_json, add_repository


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("export", help="the network for other programs, verified in them")
    kinds = parser.add_subparsers(title="formats", required=True, metavar="FORMAT", parser_class=Parser)
    huggingface = kinds.add_parser("huggingface", help="a folder that Hugging Face's transformers reads")
    huggingface.add_argument("target", type=Path, metavar="DIR", help="a new folder")
    huggingface.set_defaults(command=run_huggingface)
    gguf = kinds.add_parser("gguf", help="a file that llama.cpp reads")
    gguf.add_argument("target", type=Path, metavar="FILE", help="a new file")
    gguf.add_argument(
        "--type", default="f32", choices=("f32", "f16", "q8_0"), help="of the matrices' elements (default f32)"
    )
    gguf.set_defaults(command=run_gguf)
    for subparser in (huggingface, gguf):
        add_repository(subparser)
        add_json(subparser)


def run_huggingface(options: argparse.Namespace) -> int:
    """`cllm export huggingface`."""
    from cllm.interrupt import InterruptHandler
    from cllm.operations.export import export_huggingface
    from cllm.progress import reporter

    with InterruptHandler(), reporter(sys.stderr) as report:
        found = export_huggingface(options.path, options.target, report)
    print_result(options, found, export_table)
    return 0


def run_gguf(options: argparse.Namespace) -> int:
    """`cllm export gguf`."""
    from cllm.interrupt import InterruptHandler
    from cllm.operations.export import export_gguf
    from cllm.progress import reporter

    with InterruptHandler(), reporter(sys.stderr) as report:
        found = export_gguf(options.path, options.target, options.type, report)
    print_result(options, found, export_table)
    return 0


def export_table(found: dict[str, Any]) -> str:
    """A table of what was written, what was verified, and what is not exported."""
    kind = f"gguf, {found['type']}" if found["format"] == "gguf" else "Hugging Face"
    rows: Rows = [
        ("written", f"{found['path']} ({kind}, {found['bytes'] / 1e6:.1f} MB)"),
        ("network", f"{found['parameters'] / 1e6:.2f} M parameters, weights {found['weights_sha256'][:16]}"),
        (
            "read back",
            f"{found['tensors']} tensors, and the ids of {found['texts']} texts ({found['text_bytes']:,} bytes)",
        ),
        *quantization_cost_rows(found),
        runtime_row(found["runtime"]),
        *not_exported_rows(found),
    ]
    if "sha256" in found:
        rows.insert(1, ("SHA-256", found["sha256"]))
    return aligned(rows)


def quantization_cost_rows(found: dict[str, Any]) -> Rows:
    """The cost of quantization in bits per byte; no row if the file is not quantized."""
    cost = found.get("quantization_cost")
    if cost is None:
        return []
    extra_bits = cost["bits_per_byte_quantized"] - cost["bits_per_byte"]
    return [("quantization", f"costs {extra_bits:+.5f} bits per byte, over {cost['tokens']:,} tokens of its files")]


def runtime_row(runtime: dict[str, Any]) -> tuple[str, str]:
    """The differences between the target program's outputs and ours, or a note that it is not installed."""
    if runtime["version"] is None:
        text = f"ids, {runtime['output_kind']} and text were not compared: {runtime['package']} is not installed"
        return runtime["name"], f"{text}; pip install 'cllm[export]', and export again"
    difference = (
        f"{runtime['output_kind']} within {runtime['max_difference']:.1e} at {runtime['num_positions']:,} positions"
    )
    ties = f" except {runtime['num_mismatches']} near ties" if runtime["num_mismatches"] else ""
    tokens = f"{runtime['num_generated_tokens']} generated tokens equal"
    text = f"ids equal, {difference} ({runtime['tolerance']:g} allowed); {tokens}"
    return runtime["name"], f"{text}{ties} ({runtime['package']} {runtime['version']})"


def not_exported_rows(found: dict[str, Any]) -> Rows:
    """A note that the memory and the guide are not exported, with the cost of the network alone in bits per byte."""
    mixed, alone = (found["bits_per_byte"][expert] for expert in ("mixed", "model"))
    if mixed is None or alone is None:
        cost = f"run {found['run']} has no scorecard with its cost (`cllm eval` writes one)"
    else:
        cost = (
            f"which costs {alone - mixed:.4f} bits per byte on held-out files: {alone:.4f} for the network alone, "
            f"{mixed:.4f} with the memory (scorecard of run {found['run']})"
        )
    return [("not exported", "the memory and the guide, for which the format has no place"), ("", cost)]
