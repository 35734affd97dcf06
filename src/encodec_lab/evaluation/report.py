"""The evaluation page: one HTML file that needs nothing else, to look at and to listen to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Literal

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.evaluation import report_sections
from encodec_lab.evaluation.codebook_usage import CodebookUsage
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.listening import ListeningExample, example_html, listening_payload
from encodec_lab.evaluation.quality_section import quality_html
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric
from encodec_lab.evaluation.training_log import CODEC_CHARTS, ChartPlan, TrainingRecord

_STYLES = ("page", "listening")
# One after the other in one scope: a file uses what those before it define.
_SCRIPTS = (
    "dom",
    "chance",
    "kept",
    "sounds",
    "version_player",
    "controls",
    "keyboard",
    "examples",
    "abx",
    "rating",
    "blind_session",
    "blind_setup",
    "main",
)
_BLIND_TEST = (
    '<p class="lead">Versions without names, in random order. Answers are kept in this browser, if it allows that, and '
    'saved as a JSON file.</p><div id="blind"></div>'
)


@dataclass(frozen=True)
class ReportContent:
    """What a page shows; a section whose part is empty is left out.

    Attributes:
        title: of the page.
        facts: what the model is, its training steps and time, by name; shown at the top in this order.
        rows: from `evaluate`.
        examples: to listen to.
        training: from `read_training_records`.
        codebooks: from `measure_codebook_usage`.
        metrics: columns of the tables.
        charts: of the training section.
        subject: of the page; versions of a recording are put to a blind test where it is an evaluation.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[EvaluationRow] = ()
    examples: Sequence[ListeningExample] = ()
    training: Sequence[TrainingRecord] = ()
    codebooks: Sequence[CodebookUsage] = ()
    metrics: Sequence[ScoredMetric] = METRICS
    charts: Sequence[ChartPlan] = CODEC_CHARTS
    subject: Literal["evaluation", "augmentation"] = "evaluation"


def write_report(path: str | Path, content: ReportContent) -> None:
    """Write the page, whole or not at all; its folder is made if missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staged:
        # The name of a file need not be UTF-8.
        staged.write_text(render_report(content), encoding="utf-8", errors="backslashreplace")


def render_report(content: ReportContent) -> str:
    """The page as text."""
    sections = [(title, html) for title, html in _sections(content) if html]
    anchors = [f"section-{index}" for index in range(len(sections))]
    links = [
        f'<a href="#{anchor}">{escape(title)}</a>'
        for anchor, (title, _) in zip(anchors, sections, strict=True)
    ]
    bodies = [
        f'<section id="{anchor}"><h2>{escape(title)}</h2>{html}</section>'
        for anchor, (title, html) in zip(anchors, sections, strict=True)
    ]
    values = {
        "title": escape(content.title),
        "style": "".join(_asset(f"styles/{name}.css") for name in _STYLES),
        "script": "".join(_asset(f"scripts/{name}.js") for name in _SCRIPTS),
        "payload": listening_payload(content.examples),
        "subject": content.subject,
        "facts": report_sections.facts_html(content.facts),
        "navigation": "".join(links),
        "sections": "\n".join(bodies),
        "version": version("encodec-lab"),
    }
    # In one pass, so that braces within a value are left alone.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _asset("report.html"))


def _asset(name: str) -> str:
    return (files("encodec_lab") / "assets/report" / name).read_text(encoding="utf-8")


def _sections(content: ReportContent) -> list[tuple[str, str]]:
    """(title, HTML) in the order of the page; HTML is empty for a part that the content lacks."""
    metrics, rows = content.metrics, content.rows
    return [
        ("Quality by bitrate", quality_html(rows, metrics) if rows else ""),
        ("Listen and look", _listening_html(content.examples)),
        ("Blind test", _BLIND_TEST if content.examples and content.subject == "evaluation" else ""),
        ("Training", report_sections.training_html(content.training, content.charts)),
        ("Codebooks", report_sections.codebooks_html(content.codebooks) if content.codebooks else ""),
        ("How it was measured", report_sections.method_html(metrics, rows) if rows else ""),
    ]


def _listening_html(examples: Sequence[ListeningExample]) -> str:
    if not examples:
        return ""
    return (
        '<noscript><p class="lead">Sound needs scripts, which are turned off.</p></noscript><p id="keys"></p>'
        + "".join(example_html(example) for example in examples)
    )
