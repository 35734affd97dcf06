"""The page is whole, safe and complete in itself. What it does in a browser is tested in files of that name."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from listening_page import listening_example

from encodec_lab.evaluation.codebook_usage import measure_codebook_usage
from encodec_lab.evaluation.evaluate import evaluate_codec
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.report import ReportContent, render_report, write_report
from encodec_lab.evaluation.scored_metrics import MEL_DISTANCE, SI_SNR
from encodec_lab.models.encodec import EncodecModel

METRICS = (SI_SNR, MEL_DISTANCE)


@pytest.fixture(scope="module")
def content(codec: EncodecModel, clips: list[Path]) -> ReportContent:
    """A page with every section."""
    training = [(step, {"train/mel": 3.0 - step, "valid/si_snr_db/6kbps": float(step)}) for step in range(3)]
    return ReportContent(
        title="A <tiny> {{codec}}",
        facts={"model": "small & random"},
        rows=evaluate_codec(codec, clips, metrics=METRICS),
        examples=[listening_example("</script><b>")],
        training=[*training, (3, {"balancer/ratio/mel": 1.0})],
        codebooks=measure_codebook_usage(codec, clips),
        metrics=METRICS,
    )


class _TagBalance(HTMLParser):
    """Collects the tags that are open at the end, and the ones closed without being open."""

    VOID = ("meta", "img", "br", "path", "circle", "rect", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.misplaced: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag not in self.VOID:
            self.misplaced.append(tag)


def test_every_section_is_there_and_tags_balance(content: ReportContent) -> None:
    page = render_report(content)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Quality by bitrate",
        "Listen and look",
        "Blind test",
        "Training",
        "Codebooks",
        "How it was measured",
    ]
    balance = _TagBalance()
    balance.feed(page)
    assert (balance.open, balance.misplaced) == ([], [])


def test_text_is_escaped_and_braces_in_it_are_left_alone(content: ReportContent) -> None:
    page = render_report(content)
    assert "A &lt;tiny&gt; {{codec}}" in page
    assert "small &amp; random" in page
    assert "<tiny>" not in page
    assert "</script><b>" not in page


def test_nothing_is_loaded_from_elsewhere(content: ReportContent) -> None:
    page = render_report(content)
    addresses = re.findall(r'(?:src|href)="([^"]{1,30})', page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)


def test_figures_of_the_table_are_the_means(content: ReportContent) -> None:
    page = render_report(content)
    for kbps in (0.9, 1.8, 6.0):
        scores = [row.scores["mel_distance"] for row in content.rows if row.bandwidth_kbps == kbps]
        assert f"<td>{sum(scores) / len(scores):.3f}<small>[" in page


def test_empty_parts_are_left_out() -> None:
    page = render_report(ReportContent(title="Nothing"))
    assert "<h2>" not in page
    assert "Nothing" in page


def test_folded_charts_and_charts_without_curves(content: ReportContent) -> None:
    page = render_report(content)
    assert page.count("<h3>SI-SNR on the validation clips</h3>") == 1
    assert "Adversarial losses" not in page
    assert "More curves (1)" in page


def test_file_appears_whole_in_a_new_folder(content: ReportContent, tmp_path: Path) -> None:
    write_report(tmp_path / "new/report.html", content)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]
    assert (tmp_path / "new/report.html").read_text(encoding="utf-8") == render_report(content)


def _row(system: str, domain: str, kbps: float | None, score: float, rate_hz: int = 24_000) -> EvaluationRow:
    """As if the file that is named for the score had been evaluated."""
    true_kbps = None if kbps is None else 1.1 * kbps
    return EvaluationRow(
        system, f"{score}.wav", domain, kbps, true_kbps, 1.0, rate_hz, {"si_snr_db": score}, {}
    )


def test_several_systems_share_the_plots_and_tables_of_each_domain() -> None:
    rows = [
        _row(system, domain, kbps, score)
        for domain in ("music", "speech")
        for system, kbps in (("lab", 3.0), ("lab", 6.0), ("opus", 12.0), ("low-pass", None))
        for score in (1.0, 2.0)
    ]
    page = render_report(ReportContent("Several", rows=rows, metrics=(SI_SNR,)))
    assert re.findall(r'<h3 class="domain">(.*?) ', page) == ["music", "speech", "all"]
    assert len(re.findall("<svg", page)) == 3
    assert re.findall(r"<title>(.*?):", page)[:4] == ["low-pass", "lab", "lab", "opus"]
    assert "lab: 1.5 at 3.3 [1, 2]" in page
    assert page.count("<td>low-pass</td><td></td><td></td><td>1.50<small>[1.00, 2.00]</small></td>") == 3
    assert "<td>lab 6<small>6.60 true</small></td><td>opus 12<small>13.20 true</small></td>" in page
    assert "better on 50 %" in page
    assert "own sample rate" not in page


def test_of_one_system_the_domains_share_a_plot() -> None:
    rows = [_row("lab", domain, 3.0, score) for domain in ("music", "speech") for score in (1.0, 2.0)]
    page = render_report(ReportContent("One", rows=rows, metrics=(SI_SNR,)))
    assert len(re.findall("<svg", page)) == 1
    assert len(re.findall(r'<li class="colour\d ', page)) == 3


def test_different_sample_rates_are_told() -> None:
    rows = [_row("lab", "speech", 3.0, 1.0), _row("opus", "speech", 12.0, 1.0, rate_hz=48_000)]
    page = render_report(ReportContent("Two rates", rows=rows, metrics=(SI_SNR,)))
    assert "its own sample rate: lab at 24 kHz, opus at 48 kHz." in page
