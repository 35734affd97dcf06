"""Pieces of the page in a frame: complete, styled, and shut off from what is round it."""

import re
from html import unescape
from html.parser import HTMLParser

from encodec_lab.evaluation.framed_html import framed_html
from encodec_lab.evaluation.svg_plots import Line, line_chart

CHART = line_chart([Line('a "quoted" <line> & more', [0.0, 1.0], [2.0, 3.0], markers=True)], "x", "y")


class _Tags(HTMLParser):
    """The tags that a browser sees outside of the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def _tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(html)
    return parser.seen


def test_the_content_arrives_as_it_was_within_the_frame_alone() -> None:
    (outer, _), (frame, attributes) = _tags(framed_html(CHART, 123))
    assert (outer, frame) == ("div", "iframe")
    page = attributes["srcdoc"]
    assert page is not None
    assert page.endswith(CHART)
    assert "height: 123px" in (attributes["style"] or "")


def test_every_class_of_a_chart_has_a_style() -> None:
    page = unescape(framed_html(CHART))
    style, content = page.split("</style>", 1)
    for name in {name for names in re.findall(r'class="([^"]+)"', content) for name in names.split()} - {
        "tick"
    }:
        assert f".{name} " in style
