"""The whole of an evaluation in a folder: made, interrupted, gone on with, and made of several jobs."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.evaluation.evaluate_models import EvaluationSettings, baselines_of, evaluate_models
from encodec_lab.evaluation.row_store import read_jsonl
from encodec_lab.models.export_folder import write_export


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "codec"
    write_export(folder, random_codec(SMALL_24KHZ), {}, "")
    return folder


@pytest.fixture
def settings(export: Path, clips: list[Path]) -> EvaluationSettings:
    return EvaluationSettings(
        model=str(export),
        data=[str(clip) for clip in clips],
        bandwidths=[6.0],
        lm=False,
        baselines={},
        anchors=True,
        visqol=False,
        workers=0,
    )


def _table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_second_time_nothing_is_written(settings: EvaluationSettings, tmp_path: Path) -> None:
    told = evaluate_models(settings, tmp_path, tmp_path / "scores.jsonl")
    assert "6 rows of 2 files, 0 of them known from before" in told
    assert {path.name for path in tmp_path.iterdir()} == {
        *("made_from.sha256", "pairwise.csv", "report.html", "rows.csv", "rows.jsonl", "scores.jsonl"),
        "summary.csv",
    }
    os.utime(tmp_path / "rows.jsonl", (0, 0))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = evaluate_models(settings, tmp_path, tmp_path / "scores.jsonl")
    assert "6 of them known from before" in again
    assert again.splitlines()[:-1] == told.splitlines()[:-1]
    # A sweep that is run again takes rows for those of an earlier one unless they are young.
    assert (tmp_path / "rows.jsonl").stat().st_mtime_ns > (tmp_path / "report.html").stat().st_mtime_ns
    assert times.pop(tmp_path / "rows.jsonl") == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    # One that was killed before the page was written writes it.
    (tmp_path / "report.html").unlink()
    evaluate_models(settings, tmp_path, tmp_path / "scores.jsonl")
    assert (tmp_path / "report.html").exists()
    with open(tmp_path / "rows.jsonl", "a") as file:
        file.write("{")
    evaluate_models(settings, tmp_path, tmp_path / "scores.jsonl")
    assert len(read_jsonl(tmp_path / "rows.jsonl")) == 6


def test_what_is_missing_and_what_failed_is_told(
    settings: EvaluationSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    broken = tmp_path / "broken.wav"
    broken.write_text("no audio")
    changed = dataclasses.replace(
        settings, baselines={"mp3": [64.0]}, data=[*settings.data[:1], str(broken)], anchors=False
    )
    told = evaluate_models(changed, tmp_path / "out", tmp_path / "scores.jsonl")
    assert "mp3 is missing: lame not installed" in told
    assert f"not evaluated: 1 file, such as {broken}: " in told
    (line,) = _table(tmp_path / "out/failures.csv")
    assert (line["file"], line["system"]) == (str(broken), "")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "lame not installed" in page
    assert "1 file, such as" in page
    # The rows stay as they are while what is missing, and what failed, changes.
    known = dataclasses.replace(changed, baselines={})
    evaluate_models(known, tmp_path / "out", tmp_path / "scores.jsonl")
    assert "lame not installed" not in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    evaluate_models(
        dataclasses.replace(known, data=settings.data[:1]), tmp_path / "out", tmp_path / "scores.jsonl"
    )
    assert not (tmp_path / "out/failures.csv").exists()
    evaluate_models(known, tmp_path / "out", tmp_path / "scores.jsonl")
    assert (tmp_path / "out/failures.csv").exists()


def test_impossible_settings(settings: EvaluationSettings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers"):
        dataclasses.replace(settings, workers=-1)
    for change, message in (
        ({"bandwidths": ["six"]}, r"bandwidths must be in kbps, .* got \['six'\]"),
        ({"bandwidths": []}, "bandwidths must be some"),
        ({"baselines": {"opus": None}}, "baseline opus must be in kbps, .* got None"),
        ({"baselines": {"opus": True}}, "baseline opus must be in kbps"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(settings, **change)
    for change, message in (
        ({"model": "none"}, "no model 'none'"),
        ({"data": "none"}, "none: no such folder"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_models(dataclasses.replace(settings, **change), tmp_path, tmp_path / "scores.jsonl")


def test_one_may_stand_for_a_list_of_one(settings: EvaluationSettings, tmp_path: Path) -> None:
    alone = dataclasses.replace(settings, bandwidths=6, data=settings.data[1])
    assert "3 rows of 1 files, 0 of" in evaluate_models(alone, tmp_path, tmp_path / "scores.jsonl")
    assert baselines_of("opus", {"opus": 8, "mp3": 64}) == {"opus": 8}
    assert baselines_of(["opus", "none"], {"opus": [8, 16]}) == {"opus": [8, 16], "none": ()}
    assert baselines_of(None, None) == {}
    # Whether or not its program is installed.
    with pytest.raises(ValueError, match=r"baseline opus: needs bandwidths in kbps above 0, got \[-8\.0\]"):
        evaluate_models(
            dataclasses.replace(alone, baselines={"opus": -8}), tmp_path, tmp_path / "scores.jsonl"
        )


def _recipe(repository: Path, *arguments: object) -> list[str]:
    return [sys.executable, str(repository / "recipes/evaluate.py"), *map(str, arguments)]


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with(
    repository: Path, export: Path, clips: list[Path], tmp_path: Path
) -> None:
    output, scores = tmp_path / "out", tmp_path / "out/scores.jsonl"
    folder = clips[0].parents[2]
    command = _recipe(
        repository, f"model={export}", f"data={folder}", f"output={output}", "baselines=[]", "workers=1"
    )
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end_s = time.monotonic() + 120
    while not (scores.exists() and scores.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < end_s
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "rows.csv").exists()
    # As if it had been killed within a line.
    os.truncate(scores, scores.stat().st_size - 10)
    known = scores.read_bytes().count(b"\n")
    assert 1 <= known < 10
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"10 rows of 2 files, {known} of them known from before" in finished.stdout
    assert "evaluated 10 of 10" in finished.stderr
    assert len(read_jsonl(output / "rows.jsonl")) == 10
    assert {line["num_not_scored"] for line in _table(output / "summary.csv")} <= {"0", "1"}


def test_a_sweep_ends_in_one_table(repository: Path, export: Path, clips: list[Path], tmp_path: Path) -> None:
    arguments = ("model=" + str(export), f"data={clips[1]}", f"output={tmp_path}/out", "workers=0")
    command = _recipe(repository, "--multirun", *arguments, "baselines=[]", "bandwidths=[0.9],[6]")
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"all jobs so far: {tmp_path}/out/report.html" in told
    assert "3 rows of 1 files, 2 of them known from before" in told
    rows = [(line["system"], line["bandwidth_kbps"]) for line in _table(tmp_path / "out/rows.csv")]
    assert sorted(rows) == [
        ("low-pass 3.5 kHz", ""),
        ("low-pass 7 kHz", ""),
        ("small_24khz", "0.9"),
        ("small_24khz", "6.0"),
    ]
    for folder in ("out", "out/0", "out/1"):
        assert (tmp_path / folder / "report.html").exists()


def test_mistakes_give_one_line(repository: Path, export: Path, tmp_path: Path) -> None:
    command = _recipe(repository, f"model={export}", f"data={tmp_path}/none", f"output={tmp_path}/out")
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr == f"error: {tmp_path}/none: no such folder, manifest or audio file\n"
