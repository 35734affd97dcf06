"""Charts are well-formed, and their points lie where the values say."""

import re
from xml.etree import ElementTree

import pytest

from encodec_lab.evaluation.svg_plots import (
    HEIGHT,
    WIDTH,
    Level,
    Line,
    bar_chart,
    line_chart,
    linear_ticks,
    log_ticks,
)


def _circles(html: str) -> list[tuple[float, float]]:
    svg = ElementTree.fromstring(html[html.index("<svg") :])
    return [(float(node.get("cx", "")), float(node.get("cy", ""))) for node in svg.iter("circle")]


def test_points_are_in_proportion() -> None:
    (x0, y0), (x1, y1), (x2, y2) = _circles(
        line_chart([Line("a", [0, 1, 3], [10, 20, 50], markers=True)], "x", "y")
    )
    assert (x2 - x0) / (x1 - x0) == pytest.approx(3, rel=0.01)
    assert (y2 - y0) / (y1 - y0) == pytest.approx(4, rel=0.01)
    assert y2 < y1 < y0
    assert min(x0, y2) > 0
    assert x2 < WIDTH
    assert y0 < HEIGHT


def test_logarithmic_axes_space_ratios_evenly() -> None:
    lines = [Line("a", [1.5, 3, 6, 12], [1, 10, 100, 1000], markers=True)]
    points = _circles(line_chart(lines, "x", "y", log_x=True, log_y=True))
    for axis in (0, 1):
        steps = [right[axis] - left[axis] for left, right in zip(points, points[1:], strict=False)]
        assert steps == pytest.approx([steps[0]] * 3, abs=0.2)


def test_intervals_and_legend() -> None:
    line = Line("a < b", [1, 2], [1.0, 2.0], [(0.5, 1.5), (1.0, 3.0)], markers=True)
    html = line_chart([line, Line("c", [1, 2], [0, 1])], "x", "y")
    assert html.count("whisker") == 2
    assert "a &lt; b" in html
    assert "a < b" not in html
    assert "[1, 3]" in html
    assert "legend" not in line_chart([line], "x", "y")


@pytest.mark.parametrize(
    ("xs", "ys"), [([5], [5.0]), ([1, 2], [3.0, 3.0]), ([0], [0.0]), ([1, 2], [-4.0, -4.0])]
)
@pytest.mark.parametrize("log", [False, True])
def test_flat_and_single_values_do_not_divide_by_zero(xs: list[float], ys: list[float], log: bool) -> None:
    html = line_chart([Line("a", xs, ys)], "x", "y", log_y=log and ys[0] > 0)
    assert "nan" not in html
    ElementTree.fromstring(html)


def test_no_data_says_so() -> None:
    assert "No data" in line_chart([Line("a", [], [])], "x", "y")


def test_bars_are_in_proportion_to_full_scale() -> None:
    html = bar_chart([25, 50, 100], "x", "y", 100, ["a", "b", "c"])
    heights = [float(height) for height in re.findall(r'class="bar".*? height="([\d.]+)"', html)]
    assert heights[1] / heights[0] == pytest.approx(2, rel=0.01)
    assert heights[2] / heights[0] == pytest.approx(4, rel=0.01)
    ElementTree.fromstring(html)


def test_ticks_are_round_and_within() -> None:
    assert linear_ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert linear_ticks(-2.6, 1.1) == [-2, -1, 0, 1]
    assert log_ticks(0.5, 30) == [0.5, 1, 2, 5, 10, 20]
    assert log_ticks(1.1, 3.2) == [1.5, 2, 2.5, 3]
    assert log_ticks(1e-5, 1e3) == pytest.approx([10.0**exponent for exponent in range(-5, 4)])


def test_levels_are_broken_lines_at_their_height() -> None:
    html = line_chart(
        [Line("a", [1, 2], [1.0, 3.0], markers=True)], "x", "y", levels=[Level("anchor", 3.0, (2.0, 8.0))]
    )
    svg = ElementTree.fromstring(html[html.index("<svg") :])
    (level,) = [node for node in svg.iter("path") if "level" in node.get("class", "")]
    height_px = float(re.match(r"M\d+ ([\d.]+)H", level.get("d", ""))[1])
    points = _circles(html)
    assert height_px == points[1][1]
    assert points[0][1] < HEIGHT / 1.1  # the interval's end is within the chart
    assert re.findall(r"<title>(.*?)</title>", html)[0] == "anchor: 3 [2, 8]"
    assert re.findall(r'<li class="(colour\d) (.*?)"', html) == [("colour0", ""), ("colour1", "level")]


def test_lines_keep_their_colour_and_have_shapes_of_their_own() -> None:
    lines = [Line(name, [1, 2], [1.0, 2.0], markers=True) for name in "abcd"]
    lines[1] = Line("b", [], [])
    html = line_chart(lines, "x", "y")
    assert re.findall(r'<g class="(colour\d)"', html) == ["colour0", "colour2", "colour3"]
    assert re.findall(r'<li class="colour\d ?"><i></i>(.)', html) == ["a", "c", "d"]
    assert html.count("<circle") == 2
    assert {len(points.split()) for points in re.findall(r'<polygon points="(.*?)"', html)} == {3, 4}
