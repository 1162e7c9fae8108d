"""The chart of `cllm bench train`: curves, ticks and labels."""

import xml.etree.ElementTree as ElementTree

import pytest

from cllm.bench.training.chart import Curve, render_curves, spread_labels, ticks


def test_chart_has_a_labelled_line_per_curve() -> None:
    curves = [
        Curve(label="a & b", points=[(1, 3.0), (10, 2.0)], colour="#000"),
        Curve(label="c", points=[(2, 2.5), (5, 2.01)], colour="#111"),
    ]
    svg = ElementTree.fromstring(render_curves("x < y", curves))
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert "x < y" in texts and "a & b 2.00" in texts and "c 2.01" in texts
    assert sum(element.tag.endswith("polyline") for element in svg.iter()) == 2


def test_curve_with_one_point_is_rendered() -> None:
    curve = Curve(label="one", points=[(3, 2.0)], colour="#000")
    assert ElementTree.fromstring(render_curves("one", [curve])) is not None


def test_ticks_are_round_and_few() -> None:
    assert ticks(1.0, 1.3) == pytest.approx([1.0, 1.1, 1.2, 1.3])
    assert len(ticks(0.0, 40.0)) <= 10


def test_labels_do_not_overlap() -> None:
    label_ys = spread_labels([100.0, 101.0, 50.0, 102.0])
    order = sorted(label_ys)
    assert all(after - before >= 15 for before, after in zip(order, order[1:], strict=False))
    assert label_ys[2] == 50.0
