import xml.etree.ElementTree as ElementTree

from cllm.evaluation.bar_chart import render_bars


def test_a_bar_for_each_row_in_proportion() -> None:
    drawn = ElementTree.fromstring(render_bars("a < b", [("one", 2.0, False), ("two & three", 1.0, True)]))
    texts = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert texts == ["a < b", "one", "2.000", "two & three", "1.000"]
    _, first, second = (float(element.get("width", 0)) for element in drawn.iter() if element.tag.endswith("rect"))
    assert first == 2 * second


def test_nothing_to_draw_is_a_picture_too() -> None:
    assert ElementTree.fromstring(render_bars("none", [])) is not None
