"""Bar charts as SVG."""

import xml.etree.ElementTree as ElementTree

from cllm.evaluation.bar_chart import render_bars


def test_bars_are_labelled_and_proportional() -> None:
    svg = ElementTree.fromstring(render_bars("a < b", [("one", 2.0, False), ("two & three", 1.0, True)]))
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert texts == ["a < b", "one", "2.000", "two & three", "1.000"]
    _, first, second = (float(element.get("width", 0)) for element in svg.iter() if element.tag.endswith("rect"))
    assert first == 2 * second


def test_chart_without_rows_is_valid() -> None:
    assert ElementTree.fromstring(render_bars("none", [])) is not None
