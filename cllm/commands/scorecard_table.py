"""The scorecard as aligned text, for `cllm train` and `cllm eval`."""

from typing import Any

from cllm.commands.output import Rows, aligned

LARGE_SHARE = 0.2  # of all bits: a file with more gets a row


def scorecard_table(card: dict[str, Any]) -> str:
    """The scorecard as text: prediction, cost, and the completion of each prompt."""
    train = card["train"]
    rows: Rows = held_out_rows(card, "")
    distinct = card["without_near_duplicates"]
    if distinct["held_out"] != card["held_out"]:  # otherwise the figures are the same
        rows += held_out_rows(distinct, " (without near duplicates)")
    rows += highest_cost_rows(card)
    rows += baseline_rows(card.get("baselines"))
    rows += [
        ("network", f"{train['parameters'] / 1e6:.2f} M parameters, vocabulary {train['vocab_size']:,}"),
        (
            "training",
            f"{train['steps']:,} steps, {train['tokens']:,} tokens in {train['seconds']:.0f} s: "
            f"{train['tokens_per_second']:,.0f} tokens/s with {train['workers']} workers",
        ),
        *generation_rows(card.get("generation")),
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


def generation_rows(generation: dict[str, Any] | None) -> Rows:
    """Tokens per second; no row if there is no held-out file to generate from."""
    speeds = generation["tokens_per_second"] if generation else {}
    if not speeds.get("mixed"):
        return []
    drafts = "the same text" if generation and generation["are_drafts_lossless"] else "ANOTHER TEXT"
    without = f"{speeds['mixed_without_drafts']:,.0f} without drafts ({drafts})"
    alone = f"network {speeds['model']:,.0f}, memory {speeds['memory']:,.0f}"
    return [("generation", f"{speeds['mixed']:,.0f} tokens/s, {without}"), ("  each alone", alone)]


def held_out_rows(figures: dict[str, Any], suffix: str) -> Rows:
    """Bits per byte and next-token accuracy on a set of held-out files."""
    held_out = figures["held_out"]
    if not held_out["scored_files"]:
        return [(f"held-out files{suffix}", "none to score")]
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
            f"{figures['next_token']['top1']:.1%} top 1, {figures['next_token']['top5']:.1%} among the top five",
        ),
    ]


def baseline_rows(baselines: dict[str, Any] | None) -> Rows:
    """Bits per byte of baselines on the same files; no row if they were not measured."""
    if baselines is None:
        return []
    bits = [f"{name} {value:.3f}" for name, value in baselines["bits_per_byte"].items() if value is not None]
    rows: Rows = [("bits per byte of baselines", ", ".join(bits))]
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


def highest_cost_rows(card: dict[str, Any]) -> Rows:
    """The file with the most bits, if its share is at least `LARGE_SHARE`."""
    if not card["highest_cost_files"] or (first := card["highest_cost_files"][0])["share_of_bits"] < LARGE_SHARE:
        return []
    text = f"{first['share_of_bits']:.0%} of all bits are in {first['path']} ({first['bits_per_byte']:.2f} per byte)"
    return [("hardest file", text)]
