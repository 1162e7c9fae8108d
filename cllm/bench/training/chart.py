"""Training curves as SVG: bits per byte over seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from cllm.evaluation.bar_chart import BASELINE_COLOUR, OUR_COLOUR

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 56, 150, 44, 40
INK, GRID = "#1d2329", "#e3e7ea"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve: points (seconds, bits per byte), sorted by time."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashes: str = ""


def train_chart(found: dict[str, Any]) -> str:
    """Return the chart of `cllm bench train`: the trainers' curves and the full runs."""
    labels = {"stock": BASELINE_COLOUR, "compiled": "#6c7a86", "ours": OUR_COLOUR}
    curves = [
        Curve(label=name, points=curve_points(found[name]["curve"]), colour=colour)
        for name, colour in labels.items()
        if found[name]
    ]
    curves.append(Curve(label="cllm train", points=curve_points(found["full_runs"]), colour="#d1495b", dashes="2 4"))
    return render_curves("bits per byte of held-out files, by seconds of learning (less is better)", curves)


def curve_points(points: Sequence[dict[str, float]]) -> list[tuple[float, float]]:
    return sorted((point["seconds"], point["bits_per_byte"]) for point in points)


def render_curves(title: str, curves: Sequence[Curve]) -> str:
    """Return an SVG of curves over a logarithmic time axis."""
    points = [point for curve in curves for point in curve.points]
    first, last = (choose(seconds for seconds, _ in points) for choose in (min, max))
    low = math.floor(10 * min(bits for _, bits in points)) / 10
    high = max(math.ceil(10 * max(bits for _, bits in points)) / 10, low + 0.1)
    span = math.log(last / first) or 1.0

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(seconds / first) / span

    def y(bits: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - bits) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="{INK}"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text x="12" y="24" font-weight="bold" font-size="13">{escape(title)}</text>'
    ]
    for value in ticks(low, high):
        height = f"{y(value):.1f}"
        parts.append(f'<path d="M{LEFT} {height}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{height}" dy="4" text-anchor="end">{value:.1f}</text>')
    for seconds in (s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if first <= s <= last):
        parts.append(f'<text x="{x(seconds):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{seconds} s</text>')
    labels = spread_labels([y(curve.points[-1][1]) for curve in curves])
    for curve, label_y in zip(curves, labels, strict=True):
        path = " ".join(f"{x(seconds):.1f},{y(bits):.1f}" for seconds, bits in curve.points)
        style = f'fill="none" stroke="{curve.colour}" stroke-width="2.5" stroke-dasharray="{curve.dashes}"'
        parts.append(f'<polyline points="{path}" {style}/>')
        parts += [f'<circle cx="{x(s):.1f}" cy="{y(b):.1f}" r="3" fill="{curve.colour}"/>' for s, b in curve.points]
        end_x, end_bits = x(curve.points[-1][0]), curve.points[-1][1]
        parts.append(
            f'<text x="{end_x + 8:.1f}" y="{label_y + 4:.1f}" fill="{curve.colour}" font-weight="bold">'
            f"{escape(curve.label)} {end_bits:.2f}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def ticks(low: float, high: float) -> list[float]:
    """Return round values between `low` and `high`, in steps that give about 10."""
    step = next(step for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / step <= 10 or step == 5.0)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def spread_labels(label_ys: Sequence[float], min_distance: float = 15.0) -> list[float]:
    """Return the labels' y positions, moved down where two would overlap."""
    moved = list(label_ys)
    order = sorted(range(len(label_ys)), key=lambda index: label_ys[index])
    for before, index in zip(order, order[1:], strict=False):
        moved[index] = max(moved[index], moved[before] + min_distance)
    return moved
