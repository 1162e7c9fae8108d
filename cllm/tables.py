"""What the commands print for people: aligned text from the objects that `--json` prints."""

from typing import Any

Rows = list[tuple[str, str]]
LARGE_SHARE = 0.2
TREES = "the most workers, by fan-out of the tree of machines; the last is flat:"
FIRST_SIGNS = 40  # of a copied stretch that are shown


def aligned(rows: Rows) -> str:
    """Two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def scorecard_table(card: dict[str, Any]) -> str:
    """The scorecard: prediction, cost, and what was written after each prompt."""
    train = card["train"]
    rows: Rows = [
        *held_out_rows(card, ""),
        *held_out_rows(card["without_near_duplicates"], " (without near duplicates)"),
    ]
    rows += dearest_rows(card)
    rows += baseline_rows(card.get("baselines"))
    rows += [
        ("network", f"{train['parameters'] / 1e6:.2f} M parameters, vocabulary {train['vocab_size']:,}"),
        (
            "training",
            f"{train['steps']:,} steps, {train['tokens']:,} tokens in {train['seconds']:.0f} s: "
            f"{train['tokens_per_second']:,.0f} tokens/s with {train['workers']} workers",
        ),
        *writing_rows(card.get("writing")),
        ("whole run", f"{card['seconds']['total']:.0f} s, peak memory {card['peak_memory_bytes'] / 1e6:,.0f} MB"),
        ("weights", card["weights_sha256"][:16]),
    ]
    parts = [aligned(rows)]
    for prompt, result in card["syntax"].items():
        verdict = "parses" if result["parses"] else "does not parse"
        if result["compiles"] is not None:
            verdict += ", compiles" if result["compiles"] else ", does not compile"
        parts.append(f"--- {prompt.strip()!r}: {verdict}\n{result['unit'] or result['text']}")
    return "\n".join(parts)


def writing_rows(writing: dict[str, Any] | None) -> Rows:
    """How fast text is written; nothing where nothing was held out to write after."""
    speeds = writing["tokens_per_second"] if writing else {}
    if not speeds.get("mixed"):
        return []
    drafts = "the same text" if writing and writing["drafts_change_nothing"] else "ANOTHER TEXT"
    without = f"{speeds['mixed_without_drafts']:,.0f} without drafts ({drafts})"
    alone = f"network {speeds['model']:,.0f}, memory {speeds['memory']:,.0f}"
    return [("writing", f"{speeds['mixed']:,.0f} tokens/s, {without}"), ("  each alone", alone)]


def explanation_table(completion: dict[str, Any]) -> str:
    """Where a completion's stretches stand verbatim, each with its first words, and how much is new."""
    rows: Rows = [("new", f"{completion['new']:.0%} of the text")]
    content = completion["text"].encode("utf-8", "replace")
    for source in completion["sources"]:
        words = " ".join(content[source["begin"] : source["end"]].decode("utf-8", "replace").split())
        words = words if len(words) <= FIRST_SIGNS else words[:FIRST_SIGNS] + "..."
        licence = f"; {source['licence']}" if source["licence"] else ""
        rows.append((source["place"], f"{source['end'] - source['begin']} bytes: {words}{licence}"))
    return "---\n" + aligned(rows)


def held_out_rows(figures: dict[str, Any], suffix: str) -> Rows:
    """Bits per byte and hits of a set of held-out files."""
    held_out = figures["held_out"]
    if not held_out["scored_files"]:
        return [(f"held out{suffix}", "nothing to score")]
    bits = figures["bits_per_byte"]
    low, high = bits["mixed_confidence_95"]
    sample = "" if held_out["scored_files"] == held_out["files"] else f", a sample of {held_out['files']}"
    return [
        (
            f"bits per byte{suffix}",
            f"{bits['mixed']:.4f} (95%: {low:.3f} to {high:.3f}) on {held_out['scored_files']} "
            f"held-out files, {held_out['scored_bytes']:,} bytes{sample}",
        ),
        ("  each alone", f"network {bits['model']:.4f}, memory {bits['memory']:.4f}"),
        (
            f"  network's next token{suffix}",
            f"{figures['next_token']['top1']:.1%} right, {figures['next_token']['top5']:.1%} among the first five",
        ),
    ]


def baseline_rows(baselines: dict[str, Any] | None) -> Rows:
    """What others make of the same files, where that was measured."""
    if baselines is None:
        return []
    bits = [f"{name} {value:.3f}" for name, value in baselines["bits_per_byte"].items() if value is not None]
    rows: Rows = [("bits per byte of others", ", ".join(bits))]
    for method, found in baselines["rest_of_line"].items():
        if found["cursors"]:
            rows.append(
                (
                    f"rest of line, {method}",
                    f"{found['exact_match']:.1%} exact, {found['first_word']:.1%} right in the first word, similarity "
                    f"{found['edit_similarity']:.3f}, at {found['cursors']} cursors",
                )
            )
    if baselines["not_installed"]:
        rows.append(("not installed", f"{', '.join(baselines['not_installed'])} (pip install 'cllm[baselines]')"))
    return rows


def dearest_rows(card: dict[str, Any]) -> Rows:
    """The file that holds more of the bits than any other, where that is a large part."""
    if not card["dearest_files"] or (first := card["dearest_files"][0])["share_of_bits"] < LARGE_SHARE:
        return []
    text = f"{first['share_of_bits']:.0%} of all bits are in {first['path']} ({first['bits_per_byte']:.2f} a byte)"
    return [("dearest file", text)]


def information_table(found: dict[str, Any]) -> str:
    """`cllm info`."""
    rows: Rows = [
        ("repository", found["repository"]),
        ("workspace", f"{found['disk_bytes'] / 1e6:.1f} MB in .cllm/"),
        ("state", found.get("state", "nothing learned yet")),
    ]
    if found.get("run"):
        run = found["run"]
        rows.append(("run", f"step {run['step']} of {run['steps']}, last checkpoint {run['last_checkpoint_step']}"))
    if found["model"]:
        model = found["model"]
        bits = model.get("bits_per_byte", {}).get("mixed")
        quality = "nothing was held out" if bits is None else f"{bits:.4f} bits per byte held out"
        rows += [("model", f"run {model['run']}, {quality}"), ("  knows", known_text(model["update"]))]
    report = found.get("corpus")
    if report:
        rows.append(("files", f"{report['files_kept']} of {report['files_seen']} kept"))
        languages = sorted(report["languages"].items(), key=lambda item: -item[1]["bytes"])
        rows += [(f"  {name}", f"{entry['files']} files, {entry['bytes']:,} bytes") for name, entry in languages]
        rows += [(f"  skipped: {reason}", str(count)) for reason, count in sorted(report["skipped"].items())]
    return aligned(rows)


def known_text(update: dict[str, Any]) -> str:
    """What completes beside what was learned, and what it must not any more."""
    new, gone = len(update["new"]), len(update["gone"])
    text = f"what it learned, and {new} other files" + ("" if update["learned"] else ", not yet learned from")
    if gone:
        text += f"; {gone} files are gone or changed: none is looked up, but `--fresh` alone forgets what was learned"
    return text


def doctor_table(found: dict[str, Any]) -> str:
    """`cllm doctor`: each thing that is used, found or what its absence means."""
    machine = found["machine"]
    speeds = [
        (f"  {name.replace('_', ' ')}", f"{speed:,.0f} GFLOP/s") for name, speed in found["matrix_gflops"].items()
    ]
    return aligned(
        [
            ("system", machine["system"]),
            ("processor", f"{machine['cpu']}, {machine['cores']} cores usable"),
            ("memory", f"{machine['memory_bytes'] / 1e9:.1f} GB, {machine['available_bytes'] / 1e9:.1f} GB free"),
            ("features", " ".join(machine["features"]) or "unknown"),
            ("Python, PyTorch", f"{found['python']}, {found['torch']}"),
            ("computes in", f"{found['dtype']}; PyTorch's kernels for {found['matrix_path']}"),
            *speeds,
            (
                "gcc",
                "found" if machine["gcc"] else "missing: it says whether written C compiles (apt install gcc)",
            ),
            ("python3-venv", "found" if machine["venv"] else "missing: `make` needs it (apt install python3-venv)"),
            ("make", "found" if machine["make"] else "missing: README's `make` commands need it (apt install make)"),
            ("git", "found" if machine["git"] else "missing: not needed to learn a repository"),
        ]
    )


def simulation_table(found: dict[str, Any]) -> str:
    """`cllm spheres simulate`."""
    question, costs, machine = found["question"], found["costs"], found["machine"]
    names = ["compute", "sum", "exchange", "update", "messages"]
    head = ["workers", "machines", "fan-out", "levels", *names, "step (ms)", "tokens/s", "efficiency", "link (MB)"]
    lines = [head]
    for each in [*found["workers"], *found["fanouts"]]:
        shape = [f"{each['workers']:,}", f"{each['machines']:,}", f"{each['fanout']:,}", str(each["levels"])]
        times = [f"{each[name] * 1e3:,.1f}" for name in (*names, "seconds")]
        rest = [f"{each['tokens_per_second']:,.0f}", f"{each['efficiency']:.0%}", f"{each['link_bytes'] / 1e6:,.1f}"]
        lines.append([*shape, *times, *rest])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(
        [
            *table[: 1 + len(found["workers"])],
            *(["", TREES] if found["fanouts"] else []),
            *table[1 + len(found["workers"]) :],
            "",
            f"measured here ({machine['cores']} cores, {machine['cpu']}, {machine['dtype']}): {question['network']}, "
            f"{found['parameters'] / 1e6:.2f} M parameters; a position of {costs['tokens']} tokens takes a core "
            f"{costs['position'] * 1e3:.1f} ms, an update {costs['update'] * 1e3:.1f} ms, a message "
            f"{costs['message'] * 1e6:.0f} us, sums {costs['sum_bytes_per_second'] / 1e9:.1f} GB/s.",
            f"Assumed: machines of {question['cores']} such cores, links of {question['gigabits']:g} Gbit/s and "
            f"{question['latency_ms']:g} ms that nobody else uses, exchanges every {question['sync_every']} steps, one "
            "position for each worker (12, 144, 1,728, ...: the step grows with them). Beyond 144 workers no program "
            "does this yet.",
        ]
    )


def export_table(found: dict[str, Any]) -> str:
    """`cllm export`: what was written, what was proven of it, and what stays here."""
    kind = f"gguf, {found['type']}" if found["format"] == "gguf" else "Hugging Face"
    rows: Rows = [
        ("written", f"{found['path']} ({kind}, {found['bytes'] / 1e6:.1f} MB)"),
        ("network", f"{found['parameters'] / 1e6:.2f} M parameters, weights {found['weights_sha256'][:16]}"),
        (
            "read back",
            f"{found['tensors']} tensors, and the ids of {found['texts']} texts ({found['text_bytes']:,} bytes)",
        ),
        *rounding_rows(found),
        peer_row(found["peer"]),
        *left_rows(found),
    ]
    if "sha256" in found:
        rows.insert(1, ("SHA-256", found["sha256"]))
    return aligned(rows)


def rounding_rows(found: dict[str, Any]) -> Rows:
    """What the file's numbers cost the network, where they are rounded."""
    rounding = found.get("rounding")
    if rounding is None:
        return []
    more = rounding["rounded"] - rounding["bits_per_byte"]
    return [("rounding", f"costs {more:+.5f} bits per byte, over {rounding['tokens']:,} tokens of its files")]


def peer_row(peer: dict[str, Any]) -> tuple[str, str]:
    """How far the program that an export is for is from ours, or that it was not asked."""
    if peer["version"] is None:
        text = f"ids, {peer['compared']} and text were not compared: {peer['package']} is not installed"
        return peer["name"], f"{text}; pip install 'cllm[export]', and export again"
    difference = f"{peer['compared']} within {peer['difference']:.1e} at {peer['places']:,} places"
    ties = f" but for {peer['others']} as good as tied" if peer["others"] else ""
    text = f"ids equal, {difference} ({peer['bound']:g} allowed); {peer['tokens']} written tokens equal{ties}"
    return peer["name"], f"{text} ({peer['package']} {peer['version']})"


def left_rows(found: dict[str, Any]) -> Rows:
    """That memory and guide are not exported, and what the first costs."""
    mixed, alone = (found["bits_per_byte"][expert] for expert in ("mixed", "model"))
    if mixed is None or alone is None:
        cost = f"run {found['run']} has no scorecard that says what that costs (`cllm eval` makes one)"
    else:
        cost = (
            f"which costs {alone - mixed:.4f} bits per byte of held-out files: {alone:.4f} by the network alone, "
            f"{mixed:.4f} with the memory (scorecard of run {found['run']})"
        )
    return [("stays here", "the memory and the guide, which no other program has a place for"), ("", cost)]
