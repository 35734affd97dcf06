"""`--jobs`: the same files for any number, the model loaded once, one failure no more than that."""

from pathlib import Path

import pytest
from cli.commands import Capture, run
from small_codec import random_wav

from encodec_lab.cli import model_choice
from encodec_lab.data.audio_file import write_wav
from encodec_lab.models import background
from encodec_lab.models.encodec import EncodecModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six recordings of different lengths, in two folders."""
    for number in range(6):
        path = tmp_path / "in" / str(number % 2) / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, random_wav(1, 9_000 * (1 + number), seed=number), 24_000)
    return tmp_path / "in"


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_gives_the_same_files_for_any_number_of_jobs_and_loads_the_model_once(
    folder: Path, mono_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = model_choice.load_model

    def counted(name: str | Path) -> EncodecModel:
        loads.append(name)
        return load(name)

    monkeypatch.setattr(model_choice, "load_model", counted)
    for jobs in (1, 2, 5):
        out = folder.parent / f"out{jobs}"
        assert run("--model", mono_export, "--jobs", str(jobs), "--output-dir", out / "ecdc", folder) == 0
        assert run("--model", mono_export, "-j", str(jobs), "--output-dir", out / "wav", out / "ecdc") == 0
    assert len(loads) == 6  # once in every run
    expected = _contents(folder.parent / "out1")
    assert len(expected) == 12
    assert _contents(folder.parent / "out2") == _contents(folder.parent / "out5") == expected


@pytest.mark.parametrize("export", ["mono_export", "stereo_export"])
def test_one_file_gives_the_same_bytes_by_several_threads(
    tmp_path: Path, export: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = request.getfixturevalue(export)
    audio = tmp_path / "a.wav"
    write_wav(audio, random_wav(2, 9 * 48_000), 48_000)
    stages = []
    original = background._produce

    def watched(*arguments: object) -> None:
        stages.append(arguments)
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(background, "_produce", watched)
    for jobs in (1, 2):
        for target in ("a.ecdc", "a.wav"):
            source = audio if target == "a.ecdc" else tmp_path / f"{jobs}a.ecdc"
            assert run("--model", model, "--jobs", str(jobs), source, tmp_path / f"{jobs}{target}") == 0
        assert bool(stages) == (jobs > 1)
    for target in ("a.ecdc", "a.wav"):
        assert (tmp_path / f"1{target}").read_bytes() == (tmp_path / f"2{target}").read_bytes()


def test_a_file_that_fails_keeps_no_other_from_being_done(
    folder: Path, mono_export: Path, capsys: Capture
) -> None:
    (folder / "1" / "3.wav").write_bytes(b"no audio")
    out = folder.parent / "out"
    assert run("--model", mono_export, "--jobs", "3", "--output-dir", out, folder) == 1
    message = capsys.readouterr().err
    assert "3.wav" in message and message.count("\n") == 1
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [
        f"{number}.ecdc" for number in (0, 1, 2, 4, 5)
    ]


def test_an_interruption_gives_up_what_has_been_started_and_starts_no_more(
    folder: Path, mono_export: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from encodec_lab.cli import transcode

    started = []
    original = transcode.write_blocks

    def interrupted(*arguments: object, **settings: object) -> None:
        started.append(arguments)
        if len(started) == 2:
            raise KeyboardInterrupt
        original(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(transcode, "write_blocks", interrupted)
    out = folder.parent / "out"
    assert run("--model", mono_export, "--jobs", "2", "--output-dir", out, folder) == 130
    assert capsys.readouterr().err == "encodec: interrupted\n"
    assert len(started) <= 4
    assert all(path.suffix == ".ecdc" for path in out.rglob("*") if path.is_file())
