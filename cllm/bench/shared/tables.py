"""Text tables of the benchmarks, made from the objects that `--json` prints."""

from collections.abc import Sequence
from typing import Any


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in aligned columns, the first left-aligned and the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if index else cell.ljust(width) for index, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )


def seconds_text(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f}"


def train_table(found: dict[str, Any]) -> str:
    """Return the table of `cllm bench train`."""
    rows = [["", "tokens/s", "of peak", "bits per byte", "seconds to stock loss", "memory (MB)", "setup (s)"]]
    for each in (found[name] for name in ("stock", "compiled", "ours") if found[name]):
        rows.append(
            [
                each["name"],
                f"{each['tokens_per_second']:,.0f}",
                f"{each['matrix_peak_share']:.0%}",
                f"{each['bits_per_byte']:.3f}",
                seconds_text(each["seconds_to_stock_loss"]),
                f"{each['peak_memory_bytes'] / 1e6:,.0f}",
                f"{each['setup_seconds']:.0f}",
            ]
        )
    full_run_rows = [["cllm train: seconds", *(f"{point['seconds']:.0f}" for point in found["full_runs"])]]
    full_run_rows += [["bits per byte", *(f"{point['bits_per_byte']:.3f}" for point in found["full_runs"])]]
    swept = ", ".join(f"{rate['lr']:g}: {rate['bits_per_byte']:.3f}" for rate in found["sweep"])
    return "\n".join(
        [
            columns(rows),
            "",
            columns(full_run_rows),
            "",
            f"ours / stock {found['ratio_to_stock']:.2f} in tokens/s; `cllm train` reaches stock's loss of "
            f"{found['seconds']:.0f} s {time_to_stock_text(found)} ({found['cold_kernels_seconds']:.0f} s more "
            "if no kernel has been compiled before)",
            f"stock's learning rates, a quarter of the time: {swept}",
            f"matrix peak {found['matrix_peak_gflops']:.0f} GFLOP/s",
            environment_text(found),
        ]
    )


def time_to_stock_text(found: dict[str, Any]) -> str:
    """Return text on the time in which a full `cllm train` run reaches the recipe's loss."""
    budgets, needed = [point["seconds"] for point in found["full_runs"]], found["seconds_to_stock_loss"]
    if needed is None:
        return f"not within {max(budgets):.0f} s"
    return f"in {'at most ' if needed == min(budgets) else ''}{needed:.0f} s"


def softmax_table(found: dict[str, Any]) -> str:
    """Return the tables of `cllm bench softmax`."""
    tables = []
    for part in ("heads", "vocab_sizes"):
        rows = [[part, "tokens/s", "bytes/s", "bits per byte", "memory (MB)"]]
        for each in found[part]:
            speeds = [f"{each['tokens_per_second']:,.0f}", f"{each['bytes_per_second']:,.0f}"]
            memory = f"{each['peak_memory_bytes'] / 1e6:,.0f}"
            rows.append([each["name"], *speeds, f"{each['bits_per_byte']:.3f}", memory])
        tables += [columns(rows), ""]
    environment = environment_text(found)
    return "\n".join([*tables, f"after {found['seconds']:.0f} s each; heads in float32, by autograd; {environment}"])


def lattice_table(found: dict[str, Any]) -> str:
    """Return the table of `cllm bench lattice`."""
    rows = [["", "tokens/s", "bits per byte, by seed", "change from none (95%)", "memory (MB)"]]
    for each in found["components"]:
        rows.append(
            [
                each["name"],
                f"{each['tokens_per_second']:,.0f}",
                " ".join(f"{bits:.3f}" for bits in each["bits_per_byte"]),
                "" if each["name"] == "none" else f"{each['difference']:+.1%} ± {each['margin']:.1%}",
                f"{each['peak_memory_bytes'] / 1e6:,.0f}",
            ]
        )
    environment = environment_text(found)
    return f"{columns(rows)}\n\nafter {found['seconds']:.0f} s each; in float32, by autograd; {environment}"


def seed_table(found: dict[str, Any]) -> str:
    """Return the report of `cllm bench seed`."""
    growth = found["memory_bytes_per_minute"]
    memory = "" if growth is None else f", {growth / 1e6:+.2f} MB/min after the first quarter"
    return "\n".join(
        [
            f"{found['epochs']} epochs, {found['tokens']:,} tokens in {found['seconds']:.0f} s: "
            f"{found['tokens_per_second']:,.0f} tokens/s, {found['bits_per_byte']:.3f} bits per byte",
            f"peak memory {found['peak_memory_bytes'] / 1e6:,.0f} MB{memory}",
            environment_text(found),
        ]
    )


def spheres_table(found: dict[str, Any]) -> str:
    """Return the tables of `cllm bench spheres`."""
    rows = [["workers", "step (ms)", "predicted (ms)", "error per repeat"]]
    for each in found["steps"]:
        errors = " ".join(f"{error:+.0%}" for error in each["errors"])
        times = [f"{each[name] * 1e3:,.0f}" for name in ("seconds", "predicted_seconds")]
        rows.append([str(each["workers"]), *times, errors])
    parts = [columns(rows)]
    for num_values, timings in found["all_reduce"].items():
        rows = [["processes", "tree", f"sum of {int(num_values):,} numbers (ms)"]]
        rows += [
            [str(each["processes"]), " x ".join(map(str, each["levels"])), f"{each['seconds'] * 1e3:,.1f}"]
            for each in timings
        ]
        parts += ["", columns(rows)]
    return "\n".join([*parts, "", environment_text(found)])


def secrets_table(found: dict[str, Any]) -> str:
    """Return the table of `cllm bench secrets`."""
    rows = [["engine, samples of", "positive", "replaced", "negative", "replaced", "MB/s"]]
    for engine, sources in found["engines"].items():
        for source, each in sources.items():
            numbers = found["sources"][source]
            rows.append(
                [
                    f"{engine}, {source}",
                    f"{numbers['positive']:,}",
                    share_text(each["recall"]),
                    f"{numbers['negative']:,}",
                    share_text(each["false"]),
                    f"{each['megabytes_per_second']:.1f}",
                ]
            )
    notes = [f"not installed: {', '.join(found['not_installed'])}"] if found["not_installed"] else []
    notes += [f"each engine in a process with{'out' if found['is_without_network'] else ''} a network"]
    return "\n".join([columns(rows), "", *notes])


def share_text(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def valid_table(found: dict[str, Any]) -> str:
    """Return the table of `cllm bench valid`."""
    rows = [["completions", "valid", "without guide", "exact", "without guide", "tokens", "stopped early", "time"]]
    for name in ("fill_in_the_middle", "left_to_right", ""):
        each = found.get(name, {}) if name else found
        if each:
            shares = [
                each["valid"],
                each["valid_without_guide"],
                each["exact_match"],
                each["exact_match_without_guide"],
            ]
            rows.append(
                [
                    f"{each['completions']} {name.replace('_', ' ') or 'in total'}",
                    *(f"{share:.1%}" for share in shares),
                    f"{each['median_tokens']:g} ({each['median_tokens_without_guide']:g})",
                    f"{each['stopped_early']:.1%}",
                    f"{each['seconds'] / each['seconds_without_guide']:.2f} x",
                ]
            )
    machine, versions = found["machine"], found["versions"]
    sentence = f"{machine['cores']} cores, {machine['cpu']}, PyTorch {versions['torch']}; seed {found['seed']}"
    prompts = [
        f"{each['prompt']}: of {each['completions']} completions, {each['num_parsing']} parse and "
        f"{each['num_compiling']} compile"
        for each in found["prompts"]
    ]
    return "\n".join([columns(rows), "", *prompts, *([""] if prompts else []), sentence])


def guide_table(found: dict[str, Any]) -> str:
    """Return the table of `cllm bench guide` and the refused examples: left [[ real text ]] right."""
    rows = [["", "gaps", "refused", "unparsed", "p50 (ms)", "p95 (ms)"]]
    for language, share in found["real_refused"].items():
        seconds = (f"{found['seconds'][language][name] * 1e3:.1f}" for name in ("p50", "p95"))
        unparsed = f"{found['real_unparsed'][language]:.2%}"
        rows.append([language, f"{found['gaps'][language]:,}", f"{share:.2%}", unparsed, *seconds])
    examples = [
        f"{each['path']}:{each['line']} ({each['kind']}{'' if each['has_suffix'] else ', nothing on the right'}): "
        f"{each['left']}[[{each['real']}]]{each['right'] if each['has_suffix'] else ''}"
        for each in found["refused"]
    ]
    machine = found["machine"]
    sentence = f"{machine['cores']} cores, {machine['cpu']}; seed {found['seed']}"
    return "\n".join([columns(rows), "", *examples, *([""] if examples else []), sentence])


def complete_table(found: dict[str, Any]) -> str:
    """Return the tables of `cllm bench complete`."""
    speeds = found["tokens_per_second"]
    best = max((each["decode"] for name, each in speeds.items() if name.startswith("llama.cpp")), default=None)
    rows = [["", "prefill (tokens/s)", "decode (tokens/s)", "relative to llama.cpp's best"]]
    for name, each in speeds.items():
        ratio = f"{each['decode'] / best:.2f} x" if best else ""
        rows.append([name, f"{each['prefill']:,.0f}", f"{each['decode']:,.0f}", ratio])
    names = {
        "first_token": "first token, file just opened",
        "cold": "finished line, file just opened",
        "after_typing": "finished line, one more character typed",
        "after_typing_without_guide": "the same without guide",
        "after_deletion": "finished line, five characters deleted",
    }
    times = [["", "p50 (ms)", "p95 (ms)"]]
    times += [
        [names[name], *(f"{each[p] * 1e3:.0f}" for p in ("p50", "p95"))] for name, each in found["seconds"].items()
    ]
    times += [
        [f"`cllm complete`, new process, files {name}", *(f"{each[p] * 1e3:,.0f}" for p in ("p50", "p95"))]
        for name, each in found["new_process"].items()
    ]
    windows = [["window (bytes)", "exact lines", "cold p50 (ms)", "p95", "typed p50 (ms)", "p95"]]
    for each in found["windows"]:
        latencies = [each["seconds"][name][p] for name in ("cold", "after_typing") for p in ("p50", "p95")]
        size = f"{each['window']['prefix_bytes']:,} + {each['window']['suffix_bytes']:,}"
        default = " (default)" if each["window"] == found["window"] else ""
        windows.append(
            [size + default, f"{each['exact_match']:.1%}", *(f"{seconds * 1e3:.0f}" for seconds in latencies)]
        )
    machine, versions = found["machine"], found["versions"]
    sentence = f"{found['cursors']} cursors, {machine['cores']} cores, {machine['cpu']}, PyTorch {versions['torch']}"
    return "\n".join([columns(rows), "", columns(times), "", columns(windows), "", f"{sentence}; seed {found['seed']}"])


def cursors_table(found: dict[str, Any]) -> str:
    """Return the table of `cllm bench cursors`."""
    rows = [["gap", "count", "exact", "silent", "harm", "repeats neighbour", "with CR LF: exact", "harm"]]
    for kind, each in found["kinds"].items():
        other = found["crlf"][kind]
        shares = [each[name] for name in ("exact_match", "silent", "harm", "repeats_neighbour")]
        shares += [other["exact_match"], other["harm"]]
        rows.append([kind.replace("_", " "), f"{each['count']}", *(f"{share:.1%}" for share in shares)])
    machine, versions = found["machine"], found["versions"]
    sentence = f"{machine['cores']} cores, {machine['cpu']}, PyTorch {versions['torch']}; seed {found['seed']}"
    return "\n".join([columns(rows), "", sentence])


def environment_text(found: dict[str, Any]) -> str:
    """Return a sentence on the machine, the corpus and the versions."""
    machine, corpus, versions = found["machine"], found["corpus"], found["versions"]
    return (
        f"{found['engine']['dtype']}, {machine['cores']} cores, {machine['cpu']}, PyTorch {versions['torch']}; "
        f"{corpus['files']} files, {corpus['bytes'] / 1e6:.2f} MB trained on, {corpus['scored_bytes']:,} bytes of "
        f"{corpus['scored_files']} held-out files scored, vocabulary {corpus['vocab_size']:,}, seed {found['seed']}"
    )
