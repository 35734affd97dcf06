"""Options that do nothing: told of in one line, or bad usage."""

from pathlib import Path

import pytest
from cli.commands import Capture, run


@pytest.fixture
def compressed(recording: Path, mono_export: Path) -> Path:
    path = recording.with_name("a.ecdc")
    assert run("--model", mono_export, recording, path) == 0
    return path


def _refused(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def _told(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    assert run("-f", *arguments) == 0
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") <= 1
    return err


def test_ours(compressed: Path, recording: Path, mono_export: Path, tmp_path: Path, capsys: Capture) -> None:
    wav, again = tmp_path / "b.wav", tmp_path / "b.ecdc"
    for arguments, message in (
        (("--restore", recording, again), "--restore does nothing here, because nothing is decompressed"),
        (("--salvage", recording, again), "--salvage does nothing here, because no compressed file is read"),
        (("--salvage", recording, wav), "--salvage does nothing here, because no compressed file is read"),
        (("--salvage", "--output-dir", tmp_path, recording), "--salvage does nothing here"),
    ):
        assert message in _refused(capsys, "--model", mono_export, *arguments)
    assert not wav.exists() and not again.exists()


def test_ours_where_they_do_something(
    compressed: Path, recording: Path, mono_export: Path, tmp_path: Path, capsys: Capture
) -> None:
    wav = tmp_path / "b.wav"
    both = ("--output-dir", tmp_path / "out", compressed, recording)
    for arguments in (
        ("--format", "v1", recording, wav),
        ("--restore", recording, wav),
        ("--restore", "--salvage", compressed, wav),
        ("--restore", "--salvage", "--format", "v1", *both),
    ):
        assert _told(capsys, "--model", mono_export, *arguments) == ""


@pytest.mark.parametrize(
    ("option", "reason"),
    [(option, "nothing is compressed") for option in ("-b=6", "-l", "--format=v1")],
)
def test_told_where_nothing_is_compressed(
    compressed: Path, mono_export: Path, tmp_path: Path, capsys: Capture, option: str, reason: str
) -> None:
    err = _told(capsys, "--model", mono_export, *option.split("="), compressed, tmp_path / "b.wav")
    assert err == f"encodec: without effect: {option.split('=')[0]} ({reason})\n"


def test_hq_where_nothing_is_compressed(compressed: Path, capsys: Capture) -> None:
    """It goes on to the model that the stream names, which here is not at hand."""
    capsys.readouterr()
    assert run("--hq", compressed) == 1
    note, error = capsys.readouterr().err.splitlines()
    assert note == "encodec: without effect: -q (nothing is compressed)"
    assert "was made by model 'small_24khz'" in error


def test_the_references_where_nothing_is_decompressed_or_named(
    compressed: Path, recording: Path, mono_export: Path, tmp_path: Path, capsys: Capture
) -> None:
    with_model = ("--model", mono_export)
    err = _told(capsys, *with_model, "-r", "-s", "x", recording, tmp_path / "b.ecdc")
    assert err == (
        "encodec: without effect: -r (nothing is decompressed), -s (no output is named after its input)\n"
    )
    for arguments in ((compressed, tmp_path / "b.wav"), (recording, tmp_path / "b.wav")):
        assert "effect: -s (no output" in _told(capsys, *with_model, "-s", "x", *arguments)
    assert _told(capsys, *with_model, "-r", "-s", "x", compressed) == ""
    assert compressed.with_name("ax.wav").exists()
    assert _told(capsys, *with_model, "-r", "-b", "6", recording, tmp_path / "b.wav") == ""
