"""The command: what it refuses, its exit statuses and its one line of explanation."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from cli.commands import Capture, fails, run

from encodec_lab.cli import transcode
from encodec_lab.cli.main import main
from encodec_lab.models import pretrained


def _written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_existing_output(recording: Path, mono_export: Path, capsys: Capture) -> None:
    output = recording.with_name("take.one.ecdc")
    output.write_text("precious")
    assert "use -f / --force" in fails(capsys, "--model", mono_export, recording)
    assert output.read_text() == "precious"
    assert run("-f", "--model", mono_export, recording) == 0
    assert output.read_bytes().startswith(b"ECDC")


def test_refused_paths(recording: Path, capsys: Capture, tmp_path: Path) -> None:
    assert "input file nowhere.wav does not exist" in fails(capsys, "nowhere.wav")
    assert "must end in .ecdc or .wav" in fails(capsys, recording, tmp_path / "a.mp3")
    (tmp_path / "a.ecdc").touch()
    assert "must end in .wav" in fails(capsys, tmp_path / "a.ecdc", tmp_path / "b.ecdc")
    assert "does not exist; make it first" in fails(capsys, recording, tmp_path / "none" / "a.ecdc")


def test_bad_audio(tmp_path: Path, mono_export: Path, capsys: Capture) -> None:
    path = tmp_path / "a.wav"
    for content in (b"", b"no audio at all"):
        path.write_bytes(content)
        assert str(path) in fails(capsys, "--model", mono_export, path)
    soundfile.write(path, np.full(100, np.nan), 24_000, subtype="FLOAT")
    assert "NaN" in fails(capsys, "--model", mono_export, path)
    soundfile.write(path, np.zeros((100, 3)), 24_000)
    assert "3 channels" in fails(capsys, "--model", mono_export, path)
    assert [item.name for item in tmp_path.iterdir()] == ["a.wav"]


def test_bad_streams(recording: Path, mono_export: Path, stereo_export: Path, capsys: Capture) -> None:
    compressed = recording.with_name("a.ecdc")
    assert run("--model", mono_export, recording, compressed) == 0
    assert "made by model 'small_24khz', but the model given is 'small_48khz'" in fails(
        capsys, "--model", stereo_export, compressed
    )
    assert "none of encodec_24khz, encodec_48khz; name its exported folder by --model" in fails(
        capsys, compressed
    )
    compressed.write_bytes(compressed.read_bytes()[:-1])
    assert f"{compressed}: the stream ends too soon" in fails(capsys, "--model", mono_export, compressed)
    compressed.write_bytes(b"")
    assert f"{compressed}: the stream ends after 0 bytes" in fails(capsys, "--model", mono_export, compressed)
    assert sorted(path.name for path in recording.parent.iterdir()) == ["a.ecdc", "take.one.wav"]


def test_what_the_model_does_not_offer(recording: Path, mono_export: Path, capsys: Capture) -> None:
    assert "does not offer 7 kbps; choose one of 0.9, 1.8, 6" in fails(
        capsys, "--model", mono_export, "-b", "7", recording
    )
    assert "has no language model" in fails(capsys, "--model", mono_export, "--lm", recording)
    assert "no model 'nonsense'" in fails(capsys, "--model", "nonsense", recording)
    assert not list(recording.parent.glob("*.ecdc"))


def test_hq_refuses_the_lowest_bandwidth_before_anything_is_fetched(recording: Path, capsys: Capture) -> None:
    assert "encodec_48khz does not offer 1.5 kbps; choose one of 3, 6, 12, 24" in fails(
        capsys, "--hq", "-b", "1.5", recording
    )


def test_without_weights_and_network(
    recording: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(pretrained, "ROOT_URL", "http://127.0.0.1:9/")  # the discard port: nothing answers
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "cannot download http://127.0.0.1:9/encodec_24khz-d7cc33bc.th" in fails(capsys, recording)


def test_one_bad_file_among_several(
    recording: Path, mono_export: Path, tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad.wav"
    bad.touch()
    assert str(bad) in fails(capsys, "--model", mono_export, "--output-dir", tmp_path / "out", bad, recording)
    assert _written(tmp_path / "out") == ["take.one.ecdc"]


def test_inputs_that_would_overwrite_each_other(recording: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "take.one.flac"
    other.touch()
    assert "would both be written to" in fails(capsys, "--output-dir", tmp_path / "out", recording, other)
    (tmp_path / "empty").mkdir()
    assert "holds no file that ends in" in fails(capsys, "--output-dir", tmp_path / "out", tmp_path / "empty")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--nonsense", "a.wav"],
        ["-b", "six", "a.wav"],
        ["a.wav", "b.wav", "c.wav"],
        ["--device", "tpu", "a.wav"],
        ["--format", "v9", "a.wav"],
        ["--hq", "--model", "x", "a.wav"],
        ["."],
    ],
)
def test_bad_usage(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 2
    assert "usage: encodec" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_devices(recording: Path, mono_export: Path, capsys: Capture) -> None:
    assert "no CUDA device" in fails(capsys, "--device", "cuda", "--model", mono_export, recording)
    assert run("--device", "auto", "--model", mono_export, recording) == 0


def test_a_failing_write_leaves_the_old_output(
    recording: Path, mono_export: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = recording.with_name("take.one.ecdc")
    output.write_text("precious")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    assert "No space left" in fails(capsys, "-f", "--model", mono_export, recording)
    assert output.read_text() == "precious"
    assert len(list(recording.parent.iterdir())) == 2


def test_running_out_of_memory_is_one_line(
    recording: Path, mono_export: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nmore\n")

    monkeypatch.setattr(transcode, "compress", fail)
    assert "can't allocate memory more" in fails(capsys, "--model", mono_export, recording)
