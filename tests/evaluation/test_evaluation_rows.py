"""Rows as CSV."""

import csv
from pathlib import Path

from encodec_lab.evaluation.evaluation_rows import EvaluationRow, write_csv
from encodec_lab.evaluation.scored_metrics import SI_SNR, STOI


def test_csv_has_every_row_with_reasons(tmp_path: Path) -> None:
    rows = [
        EvaluationRow("a.wav", "speech", 6.0, 6.25, 1.5, {}, {"si_snr_db": "silence", "stoi": "why, indeed"}),
        EvaluationRow("b.wav", "music", 1.5, 1.75, 2.5, {"si_snr_db": -1.0, "stoi": 0.5}, {}),
    ]
    write_csv(tmp_path / "rows.csv", rows, (SI_SNR, STOI))
    with open(tmp_path / "rows.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            [
                "file",
                "domain",
                "bandwidth_kbps",
                "true_kbps",
                "duration_s",
                "si_snr_db",
                "stoi",
                "not_scored",
            ],
            ["a.wav", "speech", "6.0", "6.25", "1.5", "", "", "si_snr_db: silence; stoi: why, indeed"],
            ["b.wav", "music", "1.5", "1.75", "2.5", "-1.0", "0.5", ""],
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
