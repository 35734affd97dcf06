"""The evaluation of one codec as files: tables and page."""

import csv
from pathlib import Path

import pytest

from encodec_lab.evaluation.codec_report import report_on_codec
from encodec_lab.evaluation.scored_metrics import MEL_DISTANCE, SI_SNR
from encodec_lab.models.encodec import EncodecModel


def test_folder_holds_tables_and_page(
    codec: EncodecModel, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "metrics.csv").write_text("step,train/mel,valid/si_snr_db/6kbps\n1,2.5,\n2,,3.5\n")
    rows = report_on_codec(
        codec,
        clips,
        tmp_path / "new",
        title="A codec",
        facts={"training": "none at all"},
        metrics_csv=tmp_path / "metrics.csv",
        metrics=(SI_SNR, MEL_DISTANCE),
        baselines={"opus": (6.0,)},
    )
    names = ["pairwise.csv", "report.html", "rows.csv", "rows.jsonl", "summary.csv"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    with open(tmp_path / "new/rows.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows) == 10
    page = (tmp_path / "new/report.html").read_text(encoding="utf-8")
    for text in (
        "none at all",
        "2 files, 2 s",
        "<dt>training steps</dt><dd>3</dd>",
        "opusenc and opusdec not installed",
        "low-pass 3.5 kHz",
        "Reconstruction losses",
        clips[0].name,
        clips[1].name,
    ):
        assert text in page
    assert page.count('<article class="example">') == 2
