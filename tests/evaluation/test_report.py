"""The page is whole, safe and complete in itself; where a browser is installed, it runs without errors in it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from encodec_lab.evaluation.codebook_usage import measure_codebook_usage
from encodec_lab.evaluation.evaluate import evaluate_codec
from encodec_lab.evaluation.listening import make_listening_examples
from encodec_lab.evaluation.report import ReportContent, render_report, write_report
from encodec_lab.evaluation.scored_metrics import MEL_DISTANCE, SI_SNR
from encodec_lab.models.encodec import EncodecModel

METRICS = (SI_SNR, MEL_DISTANCE)
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def content(codec: EncodecModel, clips: list[Path]) -> ReportContent:
    """A page with every section."""
    training = [(step, {"train/mel": 3.0 - step, "valid/si_snr_db/6kbps": float(step)}) for step in range(3)]
    return ReportContent(
        title="A <tiny> {{codec}}",
        facts={"model": "small & random"},
        rows=evaluate_codec(codec, clips, metrics=METRICS),
        examples=make_listening_examples(codec, clips[1:]),
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
        "Quality by bandwidth",
        "Listen and look",
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


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_decodes_the_sound_and_runs_the_script(content: ReportContent, tmp_path: Path) -> None:
    """The last script of the page writes what it saw into the title once every player knows its length."""
    probe = """<script>
    window.addEventListener("load", async () => {
      const players = [...document.querySelectorAll("audio")];
      await Promise.all(players.map((player) => player.readyState > 0 ? 0 :
        new Promise((resolve) => { player.onloadedmetadata = player.onerror = resolve; })));
      const pictures = [...document.images].filter((image) => image.naturalWidth > 0).length;
      const lines = document.querySelectorAll(".spectrogram > b").length;
      document.title = `players ${players.filter((player) => player.duration > 0.4).length}, ` +
        `pictures ${pictures}, playheads ${lines}`;
    });</script>"""
    write_report(tmp_path / "report.html", content)
    page = (tmp_path / "report.html").read_text(encoding="utf-8").replace("</body>", probe + "</body>")
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    assert BROWSER is not None
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
    ]
    flags += ["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=10000"]
    finished = subprocess.run(
        [
            BROWSER,
            *flags,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"file://{tmp_path}/report.html",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "<title>players 4, pictures 4, playheads 4</title>" in finished.stdout
