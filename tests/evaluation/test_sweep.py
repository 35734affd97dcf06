"""The jobs of a sweep in one table."""

import csv
import dataclasses
import os
from pathlib import Path

from encodec_lab.evaluation.evaluate import Failure
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.results_folder import read_failures, write_tables
from encodec_lab.evaluation.row_keys import identity_tag
from encodec_lab.evaluation.scored_metrics import SI_SNR
from encodec_lab.evaluation.sweep import merge_sweep, with_distinct_names

ROW = EvaluationRow("codec", "a.wav", "speech", 6.0, 6.25, 1.5, 24_000, {"si_snr_db": 1.0}, {}, "0123456789")


def _job(folder: Path, *rows: EvaluationRow) -> Path:
    folder.mkdir()
    write_tables(folder, rows, (SI_SNR,))
    return folder


def test_rows_of_all_jobs_once_and_none_of_an_earlier_sweep(tmp_path: Path) -> None:
    opus = dataclasses.replace(ROW, system="opus", identity="1.3")
    old = _job(tmp_path / "2", dataclasses.replace(ROW, bandwidth_kbps=24.0))
    os.utime(old / "rows.jsonl", (0, 0))
    (tmp_path / "multirun.yaml").write_text("")
    os.utime(tmp_path / "multirun.yaml", (10, 10))
    _job(tmp_path / "0", ROW, opus)
    _job(tmp_path / "1", dataclasses.replace(ROW, bandwidth_kbps=12.0), opus)
    rows = merge_sweep(tmp_path)
    assert [(row.system, row.bandwidth_kbps) for row in rows] == [
        ("codec", 6.0),
        ("opus", 6.0),
        ("codec", 12.0),
    ]
    with open(tmp_path / "summary.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["system"], line["bandwidth_kbps"], line["metric"]) for line in lines] == [
        ("codec", "6.0", "si_snr_db"),
        ("codec", "12.0", "si_snr_db"),
        ("opus", "6.0", "si_snr_db"),
    ]
    assert "opus" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert merge_sweep(tmp_path) == rows


def test_nothing_new_leaves_what_was_merged(tmp_path: Path) -> None:
    job = _job(tmp_path / "0", ROW)
    merge_sweep(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    (tmp_path / "multirun.yaml").write_text("")
    os.utime(job / "rows.jsonl", (0, 0))
    assert merge_sweep(tmp_path) == []
    assert before == {path: path.read_bytes() for path in before}


def test_failures_of_all_jobs_once(tmp_path: Path) -> None:
    failures = [Failure("b.wav", "", "no audio"), Failure("\udcff.wav", "opus", "600 kbps:\ntoo much")]
    for job in ("0", "1"):
        _job(tmp_path / job, ROW)
        write_tables(tmp_path / job, [ROW], (SI_SNR,), failures[: int(job) + 1])
    merge_sweep(tmp_path)
    assert read_failures(tmp_path) == [
        failures[0],
        dataclasses.replace(failures[1], file="\\udcff.wav"),
    ]
    assert "2 files, such as b.wav: no audio" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_names_tell_models_and_rates_apart() -> None:
    rows = [
        ROW,
        dataclasses.replace(ROW, identity="0123456789+fe"),
        dataclasses.replace(ROW, system="opus"),
        dataclasses.replace(ROW, system="opus", sample_rate_hz=48_000),
        dataclasses.replace(ROW, system="mp3"),
    ]
    assert [row.system for row in with_distinct_names(rows)] == [
        f"codec {identity_tag('0123456789')}",
        f"codec {identity_tag('0123456789+fe')}",
        "opus at 24 kHz",
        "opus at 48 kHz",
        "mp3",
    ]
