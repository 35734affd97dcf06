"""The command: what it refuses, its exit statuses and its one line of explanation."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from cli.commands import Capture, fails, run

from encodec_lab.bitstream.stream_info import inspect_stream
from encodec_lab.cli import transcode
from encodec_lab.cli.main import main
from encodec_lab.models import pretrained, registry
from encodec_lab.models.export_folder import write_export
from encodec_lab.models.identity import short_identity
from encodec_lab.models.registry import load_model


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
    message = fails(capsys, "--model", stereo_export, compressed)
    for model, export in (
        ("was made by model 'small_24khz'", mono_export),
        ("given is 'small_48khz'", stereo_export),
    ):
        assert f"{model} with identity {short_identity(load_model(export)).hex()}" in message
    assert "by --model" in message
    assert "small_24khz' with identity" in fails(capsys, compressed)
    assert "none of encodec_24khz, encodec_48khz, lab_24khz; name its exported folder by --model" in fails(
        capsys, compressed
    )
    compressed.write_bytes(compressed.read_bytes()[:-1])
    assert f"{compressed}: the stream ends at byte" in fails(capsys, "--model", mono_export, compressed)
    compressed.write_bytes(b"")
    assert f"{compressed}: the stream ends after 0 bytes" in fails(capsys, "--model", mono_export, compressed)
    assert sorted(path.name for path in recording.parent.iterdir()) == ["a.ecdc", "take.one.wav"]


def test_what_the_model_does_not_offer(recording: Path, mono_export: Path, capsys: Capture) -> None:
    assert "does not offer 7 kbps; choose one of 0.9, 1.8, 6" in fails(
        capsys, "--model", mono_export, "-b", "7", recording
    )
    for format in ("v0", "v1"):
        assert "language model" in fails(
            capsys, "--model", mono_export, "--format", format, "--lm", recording
        )
    assert "no model 'nonsense'" in fails(capsys, "--model", "nonsense", recording)
    assert not list(recording.parent.glob("*.ecdc"))


def test_hq_refuses_the_lowest_bandwidth_before_anything_is_fetched(recording: Path, capsys: Capture) -> None:
    assert "encodec_48khz does not offer 1.5 kbps; choose one of 3, 6, 12, 24" in fails(
        capsys, "--hq", "-b", "1.5", recording
    )


def _cut_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Meta's weights are neither cached nor to be had."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(pretrained, "ROOT_URL", "http://127.0.0.1:9/")  # the discard port: nothing answers
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_without_weights_and_network(
    recording: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cut_off(monkeypatch, tmp_path)
    monkeypatch.setattr(registry, "BUNDLED_MODELS", tmp_path / "none")
    assert "cannot download http://127.0.0.1:9/encodec_24khz-d7cc33bc.th" in fails(capsys, recording)


@pytest.mark.parametrize("options", [(), ("--hq",)], ids=["24khz", "hq"])
def test_the_bundled_model_takes_the_place_of_metas(
    recording: Path,
    mono_export: Path,
    stereo_export: Path,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    """Saying so in one line; streams name it, and it is found by that name."""
    _cut_off(monkeypatch, tmp_path)
    for export, name in ((mono_export, "lab_24khz"), (stereo_export, "lab_48khz")):
        codec = load_model(export)
        codec.name = name
        write_export(tmp_path / "bundled" / name, codec, {}, "")
    monkeypatch.setattr(registry, "BUNDLED_MODELS", tmp_path / "bundled")
    assert run(*options, recording) == 0
    out, err = capsys.readouterr()
    number = "48" if options else "24"
    assert out == "" and err.count("\n") == 1
    assert err.startswith(
        f"encodec: compressing with the bundled model lab_{number}khz, because cannot download http"
    )
    compressed = recording.with_name("take.one.ecdc")
    with compressed.open("rb") as file:
        info = inspect_stream(file)
    assert (info.model, info.format) == (f"lab_{number}khz", "v1")
    assert run(compressed) == 0
    assert capsys.readouterr() == ("", "")
    assert recording.with_name("take.one_decompressed.wav").exists()


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
        ["--json", "a.wav"],
        ["--output-dir", "b", "-"],
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

    monkeypatch.setattr(transcode, "write_blocks", fail)
    assert "can't allocate memory more" in fails(capsys, "--model", mono_export, recording)
    assert [path.name for path in recording.parent.iterdir()] == ["take.one.wav"]
