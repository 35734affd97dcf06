"""The evaluation of one codec as files: rows and page."""

import csv
from pathlib import Path

from encodec_lab.evaluation.codec_report import model_facts, report_on_codec
from encodec_lab.evaluation.scored_metrics import MEL_DISTANCE, SI_SNR
from encodec_lab.models.encodec import EncodecModel


def test_folder_holds_rows_and_page(codec: EncodecModel, clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/mel,valid/si_snr_db/6kbps\n1,2.5,\n2,,3.5\n")
    seen = []
    rows = report_on_codec(
        codec,
        clips,
        tmp_path / "new",
        title="A codec",
        facts={"training": "none at all"},
        metrics_csv=tmp_path / "metrics.csv",
        metrics=(SI_SNR, MEL_DISTANCE),
        on_row=seen.append,
    )
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["evaluation.csv", "report.html"]
    with open(tmp_path / "new/evaluation.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows) == len(seen) == 6
    page = (tmp_path / "new/report.html").read_text(encoding="utf-8")
    for text in (
        "none at all",
        "2 files, 2 s",
        "<dt>training steps</dt><dd>3</dd>",
        "Reconstruction losses",
        clips[0].name,
        clips[1].name,
    ):
        assert text in page
    assert page.count('<article class="example">') == 2


def test_facts_of_a_model(codec: EncodecModel) -> None:
    facts = model_facts(codec)
    assert facts["audio"] == "24 kHz mono, causal"
    assert facts["bandwidths"] == "0.9, 1.8, 6 kbps"
    assert facts["codebooks"] == "13 of 64 codes, 75 Hz"
