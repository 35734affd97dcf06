"""Rows as CSV."""

import csv
from pathlib import Path

from encodec_lab.evaluation.evaluation_rows import EvaluationRow, write_csv
from encodec_lab.evaluation.scored_metrics import SI_SNR, STOI


def test_csv_has_every_row_with_reasons(tmp_path: Path) -> None:
    reasons = {"si_snr_db": "silence", "stoi": "why, indeed"}
    rows = [
        EvaluationRow("opus", "a.wav", "speech", 6.0, 6.25, 1.5, 24_000, {}, reasons, "1.3"),
        EvaluationRow(
            "low-pass", "b.wav", "music", None, None, 2.5, 48_000, {"si_snr_db": -1.0, "stoi": 0.5}, {}
        ),
    ]
    write_csv(tmp_path / "rows.csv", rows, (SI_SNR, STOI))
    with open(tmp_path / "rows.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {
        "system": "opus",
        "file": "a.wav",
        "domain": "speech",
        "bandwidth_kbps": "6.0",
        "true_kbps": "6.25",
        "duration_s": "1.5",
        "sample_rate_hz": "24000",
        "identity": "1.3",
        "si_snr_db": "",
        "stoi": "",
        "not_scored": "si_snr_db: silence; stoi: why, indeed",
    }
    assert (second["bandwidth_kbps"], second["true_kbps"]) == ("", "")
    assert (second["si_snr_db"], second["stoi"], second["not_scored"]) == ("-1.0", "0.5", "")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
