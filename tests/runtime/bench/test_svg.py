"""Drawing: well-formed images whose bars are as long as their values."""

from xml.etree import ElementTree

import pytest

from runtime.bench.svg import Bar, Chart, Group, Mark, draw_charts, format_value

SVG = "{http://www.w3.org/2000/svg}"


def bars_of(make_image: str, color: str) -> list[float]:
    root = ElementTree.fromstring(make_image)
    bars = [item for item in root.iter(f"{SVG}rect") if item.get("fill") == color]
    return [float(bar.get("width", "0")) for bar in bars]


def texts_of(make_image: str) -> list[str]:
    return [item.text or "" for item in ElementTree.fromstring(make_image).iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values() -> None:
    bars = [Bar("a", 10, "red", 9, 12), Bar("b", 5, "red"), Bar("c", 0, "red")]
    make_image = draw_charts("title", ["line"], [Chart("t", "s", "ms", [Group("g", bars)])])
    lengths = bars_of(make_image, "red")
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=0.2)
    assert lengths[2] == 1  # what is nothing can still be seen


def test_texts_are_there_and_escaped() -> None:
    groups = [
        Group("<group>", [Bar("a & b", 3.14159, "red")]),
        Group("pair", [Bar("", 1, "red", text="one")]),
        Group("", [Bar("alone", 250, "red", pale=True)]),
    ]
    marks, legend = [Mark(100, "limit")], {"ours": "red"}
    chart = Chart("chart", "sub", "G/s", groups, marks, legend)
    texts = texts_of(draw_charts("title", ["machine"], [chart]))
    for text in ("title", "machine", "chart", "sub", "G/s", "<group>", "a & b", "3.14", "pair"):
        assert text in texts
    for text in ("one", "alone", "250", "limit", "ours", "0", "50"):
        assert text in texts


def test_marks_beyond_all_bars_are_in_the_image() -> None:
    chart = Chart("t", "s", "%", [Group("", [Bar("a", 10, "red")])], [Mark(100, "limit")])
    make_image = draw_charts("title", [], [chart])
    root = ElementTree.fromstring(make_image)
    width = float(root.get("width", "0"))
    assert all(float(line.get("x2", "0")) < width for line in root.iter(f"{SVG}line"))


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.12"), (9.994, "9.99"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_values_have_three_digits(value: float, text: str) -> None:
    assert format_value(value) == text
