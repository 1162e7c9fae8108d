"""Horizontal bar charts as SVG."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

WIDTH, LABEL, ROW = 640, 110, 26
OUR_COLOUR, BASELINE_COLOUR = "#2a6f97", "#a9b4bd"


def render_bars(title: str, rows: Sequence[tuple[str, float, bool]]) -> str:
    """Return an SVG with one bar per row (label, value, whether it is cllm's), in the given order."""
    largest = max((value for _, value, _ in rows), default=1.0) or 1.0
    height = 44 + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13" fill="#1d2329"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        f'<text x="12" y="24" font-weight="bold">{escape(title)}</text>'
    ]
    for number, (label, value, is_ours) in enumerate(rows):
        y = 40 + ROW * number
        colour = OUR_COLOUR if is_ours else BASELINE_COLOUR
        width = (WIDTH - LABEL - 70) * value / largest
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{ROW - 7}" fill="{colour}"/>'
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 14}">{value:.3f}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])
