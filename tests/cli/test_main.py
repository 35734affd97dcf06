"""The command: what it writes, what it refuses, its exit statuses and its one line of explanation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_codec import SMALL_24KHZ, random_codec, random_wav

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.bitstream.v0 import read_header
from encodec_lab.cli import transcode
from encodec_lab.cli.main import main
from encodec_lab.data.audio_file import read_whole
from encodec_lab.models import encodec, pretrained
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.registry import load_model

Capture = pytest.CaptureFixture[str]


def _run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def _fails(capture: Capture, *arguments: object) -> str:
    """Run a command that must exit with 1; returns its one line on standard error."""
    capture.readouterr()
    assert _run(*arguments) == 1
    out, err = capture.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("encodec: ")
    return err


def _num_codebooks(path: Path) -> int:
    return read_header(path.read_bytes())[0].num_codebooks


def test_compress_then_decompress_with_inferred_names(
    recording: Path, mono_export: Path, capsys: Capture
) -> None:
    assert _run("--model", mono_export, recording) == 0
    compressed = recording.with_name("take.one.ecdc")
    model = load_model(mono_export)
    model.set_target_bandwidth(6.0)
    wav, _ = read_whole(recording)
    assert compressed.read_bytes() == compress(model, wav)

    assert _run("--model", mono_export, compressed) == 0
    decompressed = recording.with_name("take.one_decompressed.wav")
    decoded, sample_rate_hz = read_whole(decompressed)
    assert sample_rate_hz == 24_000
    assert torch.allclose(decoded, decompress(compressed.read_bytes(), model=model)[0], atol=1e-4)
    assert soundfile.info(decompressed).subtype == "PCM_16"

    assert _run("--model", mono_export, recording, recording.with_name("both.wav")) == 0
    assert recording.with_name("both.wav").read_bytes() == decompressed.read_bytes()
    assert len(list(recording.parent.iterdir())) == 4  # nothing else is left
    assert capsys.readouterr() == ("", "")


def test_decompress_suffix(recording: Path, mono_export: Path) -> None:
    compressed = recording.with_name("x.ecdc")
    assert _run("--model", mono_export, recording, compressed) == 0
    assert _run("--model", mono_export, compressed, "-s", "") == 0
    assert _run("--model", mono_export, compressed, "--decompress_suffix=.again") == 0
    assert {"x.wav", "x.again.wav"} < {path.name for path in recording.parent.iterdir()}


def test_paths_and_options_in_any_order(recording: Path, mono_export: Path, tmp_path: Path) -> None:
    assert _run(recording, "-b", "1.8", tmp_path / "a.ecdc", "--model", mono_export) == 0
    assert _num_codebooks(tmp_path / "a.ecdc") == 4


@pytest.mark.parametrize(
    ("bandwidth", "num_codebooks"), [((), 13), (("-b", "0.9"), 2), (("--bandwidth=6", "-f"), 13)]
)
def test_bandwidth(
    recording: Path, mono_export: Path, bandwidth: tuple[str, ...], num_codebooks: int
) -> None:
    assert _run("--model", mono_export, *bandwidth, recording) == 0
    assert _num_codebooks(recording.with_suffix(".ecdc")) == num_codebooks


def test_without_6_kbps_the_default_is_the_highest(recording: Path, stereo_export: Path) -> None:
    assert _run("--model", stereo_export, recording) == 0
    assert _num_codebooks(recording.with_suffix(".ecdc")) == 4


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".opus"])
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_rates_and_channels(
    tmp_path: Path, mono_export: Path, stereo_export: Path, suffix: str, channels: int
) -> None:
    sample_rate_hz = {".opus": 16_000, ".wav": 44_100, ".flac": 96_000}.get(suffix, 32_000)
    path = tmp_path / f"audio{suffix}"
    layout = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
    soundfile.write(path, random_wav(channels, sample_rate_hz // 2).T.numpy(), sample_rate_hz, **layout)
    for export, model_channels, model_rate_hz in ((mono_export, 1, 24_000), (stereo_export, 2, 48_000)):
        assert _run("-f", "--model", export, path, tmp_path / "out.wav") == 0
        decoded, decoded_rate_hz = read_whole(tmp_path / "out.wav")
        assert (decoded.shape[0], decoded_rate_hz) == (model_channels, model_rate_hz)
        assert decoded.shape[1] == pytest.approx(model_rate_hz / 2, rel=0.15)


def test_existing_output(recording: Path, mono_export: Path, capsys: Capture) -> None:
    output = recording.with_name("take.one.ecdc")
    output.write_text("precious")
    assert "use -f / --force" in _fails(capsys, "--model", mono_export, recording)
    assert output.read_text() == "precious"
    assert _run("-f", "--model", mono_export, recording) == 0
    assert output.read_bytes().startswith(b"ECDC")


def test_refused_paths(recording: Path, capsys: Capture, tmp_path: Path) -> None:
    assert "input file nowhere.wav does not exist" in _fails(capsys, "nowhere.wav")
    assert "must end in .ecdc or .wav" in _fails(capsys, recording, tmp_path / "a.mp3")
    (tmp_path / "a.ecdc").touch()
    assert "must end in .wav" in _fails(capsys, tmp_path / "a.ecdc", tmp_path / "b.ecdc")
    assert "does not exist; make it first" in _fails(capsys, recording, tmp_path / "none" / "a.ecdc")


def test_bad_audio(tmp_path: Path, mono_export: Path, capsys: Capture) -> None:
    path = tmp_path / "a.wav"
    for content in (b"", b"no audio at all"):
        path.write_bytes(content)
        assert str(path) in _fails(capsys, "--model", mono_export, path)
    soundfile.write(path, np.full(100, np.nan), 24_000, subtype="FLOAT")
    assert "NaN" in _fails(capsys, "--model", mono_export, path)
    soundfile.write(path, np.zeros((100, 3)), 24_000)
    assert "3 channels" in _fails(capsys, "--model", mono_export, path)
    assert [item.name for item in tmp_path.iterdir()] == ["a.wav"]


def test_bad_streams(recording: Path, mono_export: Path, stereo_export: Path, capsys: Capture) -> None:
    compressed = recording.with_name("a.ecdc")
    assert _run("--model", mono_export, recording, compressed) == 0
    assert "made by model 'small_24khz', but the model given is 'small_48khz'" in _fails(
        capsys, "--model", stereo_export, compressed
    )
    assert "none of encodec_24khz, encodec_48khz; name its exported folder by --model" in _fails(
        capsys, compressed
    )
    compressed.write_bytes(compressed.read_bytes()[:-1])
    assert f"{compressed}: the stream ends too soon" in _fails(capsys, "--model", mono_export, compressed)
    compressed.write_bytes(b"")
    assert f"{compressed}: the stream ends after 0 bytes" in _fails(
        capsys, "--model", mono_export, compressed
    )
    assert sorted(path.name for path in recording.parent.iterdir()) == ["a.ecdc", "take.one.wav"]


def test_what_the_model_does_not_offer(recording: Path, mono_export: Path, capsys: Capture) -> None:
    assert "does not offer 7 kbps; choose one of 0.9, 1.8, 6" in _fails(
        capsys, "--model", mono_export, "-b", "7", recording
    )
    assert "has no language model" in _fails(capsys, "--model", mono_export, "--lm", recording)
    assert "no model 'nonsense'" in _fails(capsys, "--model", "nonsense", recording)
    assert not list(recording.parent.glob("*.ecdc"))


def test_hq_refuses_the_lowest_bandwidth_before_anything_is_fetched(recording: Path, capsys: Capture) -> None:
    assert "encodec_48khz does not offer 1.5 kbps; choose one of 3, 6, 12, 24" in _fails(
        capsys, "--hq", "-b", "1.5", recording
    )


def test_without_weights_and_network(
    recording: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(pretrained, "ROOT_URL", "http://127.0.0.1:9/")  # the discard port: nothing answers
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "cannot download http://127.0.0.1:9/encodec_24khz-d7cc33bc.th" in _fails(capsys, recording)


@pytest.mark.parametrize("options", [(), ("--hq",)], ids=["24khz", "hq"])
def test_the_drop_in_uses_the_published_models(
    recording: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    config = ENCODEC_48KHZ if options else ENCODEC_24KHZ
    weights = random_codec(config).state_dict()
    monkeypatch.setattr(
        encodec, "load_published_weights", lambda name, repository: {config.name: weights}[name]
    )
    assert _run(*options, recording) == 0
    compressed = recording.with_name("take.one.ecdc")
    assert read_header(compressed.read_bytes())[0].model_name == config.name
    assert _num_codebooks(compressed) == {24_000: 8, 48_000: 4}[config.sample_rate_hz]
    assert _run(compressed) == 0
    assert read_whole(recording.with_name("take.one_decompressed.wav"))[1] == config.sample_rate_hz


class _LoudModel(EncodecModel):
    """Decodes everything to a square wave of twice full scale."""

    def decode(self, frames: object) -> torch.Tensor:
        return 2 * torch.sign(super().decode(frames))  # type: ignore[arg-type]


def test_clipping_and_rescaling(recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    loud = _LoudModel(SMALL_24KHZ).eval()
    loud.load_state_dict(random_codec(SMALL_24KHZ).state_dict())
    monkeypatch.setattr(transcode, "load_model", lambda name: loud)
    output = recording.with_name("out.wav")
    assert _run("--model", "loud", recording, output) == 0
    warning = capsys.readouterr().err
    assert "clipping: the peak is 2.000, the limit 0.99; use -r" in warning
    assert warning.count("\n") == 1
    assert read_whole(output)[0].abs().max() == pytest.approx(0.99, abs=1e-3)
    assert _run("-f", "--rescale", "--model", "loud", recording, output) == 0
    assert capsys.readouterr().err == ""
    assert read_whole(output)[0].abs().max() == pytest.approx(0.99, abs=1e-3)


def test_rescaling_never_makes_louder(recording: Path, mono_export: Path) -> None:
    assert _run("--model", mono_export, recording, recording.with_name("a.wav")) == 0
    assert _run("-r", "--model", mono_export, recording, recording.with_name("b.wav")) == 0
    assert recording.with_name("a.wav").read_bytes() == recording.with_name("b.wav").read_bytes()


def test_several_inputs_and_folders(
    recording: Path, mono_export: Path, tmp_path: Path, capsys: Capture
) -> None:
    songs = tmp_path / "songs"
    (songs / "live").mkdir(parents=True)
    for name in ("b.wav", "live/a.WAV"):
        (songs / name).write_bytes(recording.read_bytes())
    (songs / "cover.jpg").touch()
    output_dir = songs / "out" / "deep"
    assert _run("--model", mono_export, "--output-dir", output_dir, songs, recording) == 0
    assert _written(output_dir) == ["b.ecdc", "live/a.ecdc", "take.one.ecdc"]
    assert "exists; use -f" in _fails(capsys, "--model", mono_export, "--output-dir", output_dir, songs)
    assert _run("-f", "--model", mono_export, "--output-dir", output_dir, songs) == 0  # not its own output
    assert len(_written(output_dir)) == 3
    assert _run("--model", mono_export, "--output-dir", tmp_path / "wavs", output_dir) == 0
    assert _written(tmp_path / "wavs") == [
        "b_decompressed.wav",
        "live/a_decompressed.wav",
        "take.one_decompressed.wav",
    ]


def _written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_one_bad_file_among_several(
    recording: Path, mono_export: Path, tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad.wav"
    bad.touch()
    assert str(bad) in _fails(
        capsys, "--model", mono_export, "--output-dir", tmp_path / "out", bad, recording
    )
    assert _written(tmp_path / "out") == ["take.one.ecdc"]


def test_inputs_that_would_overwrite_each_other(recording: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "take.one.flac"
    other.touch()
    assert "would both be written to" in _fails(capsys, "--output-dir", tmp_path / "out", recording, other)
    (tmp_path / "empty").mkdir()
    assert "holds no file that ends in" in _fails(
        capsys, "--output-dir", tmp_path / "out", tmp_path / "empty"
    )


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
    assert "no CUDA device" in _fails(capsys, "--device", "cuda", "--model", mono_export, recording)
    assert _run("--device", "auto", "--model", mono_export, recording) == 0


def test_a_failing_write_leaves_the_old_output(
    recording: Path, mono_export: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = recording.with_name("take.one.ecdc")
    output.write_text("precious")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    assert "No space left" in _fails(capsys, "-f", "--model", mono_export, recording)
    assert output.read_text() == "precious"
    assert len(list(recording.parent.iterdir())) == 2


def test_running_out_of_memory_is_one_line(
    recording: Path, mono_export: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nmore\n")

    monkeypatch.setattr(transcode, "compress", fail)
    assert "can't allocate memory more" in _fails(capsys, "--model", mono_export, recording)


def test_help_and_version_come_without_torch() -> None:
    for option, expected in (("--help", "-b KBPS"), ("--version", "encodec-lab 0.")):
        program = (
            "import sys; from encodec_lab.cli.main import main;"
            f" status = main(['{option}']); print('torch' in sys.modules); sys.exit(status)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert expected in done.stdout
        assert done.stdout.endswith("False\n")


def test_as_a_process(recording: Path, mono_export: Path) -> None:
    command = [sys.executable, "-m", "encodec_lab", "--model", str(mono_export), str(recording)]
    first = subprocess.run(command, capture_output=True, text=True)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    second = subprocess.run(command, capture_output=True, text=True)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith("encodec: output file ")
