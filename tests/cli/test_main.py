"""The command: what it writes."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import soundfile
import torch
from cli.commands import Capture, fails, run
from small_codec import SMALL_24KHZ, random_codec, random_wav

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.bitstream.stream_info import StreamInfo, inspect_stream
from encodec_lab.cli import model_choice
from encodec_lab.data.audio_file import read_whole
from encodec_lab.models import encodec
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.inference import InferenceCodec
from encodec_lab.models.long_audio import decode_frames
from encodec_lab.models.registry import load_model
from encodec_lab.types import EncodedFrame


def _info(path: Path) -> StreamInfo:
    with path.open("rb") as file:
        return inspect_stream(file)


def _num_codebooks(path: Path) -> int:
    return _info(path).num_codebooks


def _written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_compress_then_decompress_with_inferred_names(
    recording: Path, mono_export: Path, capsys: Capture
) -> None:
    assert run("--model", mono_export, recording) == 0
    compressed = recording.with_name("take.one.ecdc")
    model = load_model(mono_export)
    model.set_target_bandwidth(6.0)
    wav, _ = read_whole(recording)
    assert decompress(compressed.read_bytes(), model=model)[0].equal(
        decompress(compress(model, wav), model=model)[0]
    )
    assert _info(compressed).format == "v1"

    assert run("--model", mono_export, compressed) == 0
    decompressed = recording.with_name("take.one_decompressed.wav")
    decoded, sample_rate_hz = read_whole(decompressed)
    assert sample_rate_hz == 24_000
    expected = decompress(compressed.read_bytes(), model=model)[0].clamp(-0.99, 0.99)
    assert torch.allclose(decoded, expected, atol=1e-4)
    assert soundfile.info(decompressed).subtype == "PCM_16"

    assert run("--model", mono_export, recording, recording.with_name("both.wav")) == 0
    assert recording.with_name("both.wav").read_bytes() == decompressed.read_bytes()
    assert len(list(recording.parent.iterdir())) == 4  # nothing else is left
    assert capsys.readouterr() == ("", "")


def test_decompress_suffix(recording: Path, mono_export: Path) -> None:
    compressed = recording.with_name("x.ecdc")
    assert run("--model", mono_export, recording, compressed) == 0
    assert run("--model", mono_export, compressed, "-s", "") == 0
    assert run("--model", mono_export, compressed, "--decompress_suffix=.again") == 0
    assert {"x.wav", "x.again.wav"} < {path.name for path in recording.parent.iterdir()}


def test_paths_and_options_in_any_order(recording: Path, mono_export: Path, tmp_path: Path) -> None:
    assert run(recording, "-b", "1.8", tmp_path / "a.ecdc", "--model", mono_export) == 0
    assert _num_codebooks(tmp_path / "a.ecdc") == 4


@pytest.mark.parametrize(
    ("bandwidth", "num_codebooks"), [((), 13), (("-b", "0.9"), 2), (("--bandwidth=6", "-f"), 13)]
)
def test_bandwidth(
    recording: Path, mono_export: Path, bandwidth: tuple[str, ...], num_codebooks: int
) -> None:
    assert run("--model", mono_export, *bandwidth, recording) == 0
    assert _num_codebooks(recording.with_suffix(".ecdc")) == num_codebooks


def test_without_6_kbps_the_default_is_the_highest(recording: Path, stereo_export: Path) -> None:
    assert run("--model", stereo_export, recording) == 0
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
        assert run("-f", "--model", export, path, tmp_path / "out.wav") == 0
        decoded, decoded_rate_hz = read_whole(tmp_path / "out.wav")
        assert (decoded.shape[0], decoded_rate_hz) == (model_channels, model_rate_hz)
        assert decoded.shape[1] == pytest.approx(model_rate_hz / 2, rel=0.15)


@pytest.mark.parametrize("options", [(), ("--hq",)], ids=["24khz", "hq"])
def test_the_drop_in_uses_the_published_models(
    recording: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    config = ENCODEC_48KHZ if options else ENCODEC_24KHZ
    weights = random_codec(config).state_dict()
    monkeypatch.setattr(
        encodec, "load_published_weights", lambda name, repository: {config.name: weights}[name]
    )
    assert run(*options, recording) == 0
    compressed = recording.with_name("take.one.ecdc")
    assert (_info(compressed).format, _info(compressed).model) == ("v0", config.name)
    assert _num_codebooks(compressed) == {24_000: 8, 48_000: 4}[config.sample_rate_hz]
    assert run(compressed) == 0
    assert read_whole(recording.with_name("take.one_decompressed.wav"))[1] == config.sample_rate_hz


def _decode_loudly(
    codec: InferenceCodec, frames: Iterable[EncodedFrame], prompt: bool
) -> Iterator[torch.Tensor]:
    """Everything as a square wave of twice full scale, the start at half of that."""
    loudness = 1.0
    for piece in decode_frames(codec.model, frames):
        for part in piece.unsqueeze(0).split(1_000, dim=-1):
            yield loudness * torch.where(part > 0, 1.0, -1.0)
            loudness = 2.0


def test_clipping_and_rescaling(recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    loud = random_codec(SMALL_24KHZ)
    monkeypatch.setattr(InferenceCodec, "decode_pieces", _decode_loudly)
    monkeypatch.setattr(model_choice, "load_model", lambda name: loud)
    output = recording.with_name("out.wav")
    assert run("--model", "loud", recording, output) == 0
    warning = capsys.readouterr().err
    assert "clipping: the peak is 2.000, the limit 0.99; use -r" in warning
    assert warning.count("\n") == 1
    clipped = read_whole(output)[0].abs()
    assert torch.allclose(clipped, torch.full((1, 6_000), 0.99), atol=1e-3)
    assert run("-f", "--rescale", "--model", "loud", recording, output) == 0
    assert capsys.readouterr().err == ""
    rescaled = read_whole(output)[0].abs()  # by the peak of the whole, which comes after the first piece
    assert torch.allclose(rescaled[:, :1_000], torch.full((1, 1_000), 0.495), atol=1e-3)
    assert torch.allclose(rescaled[:, 1_000:], torch.full((1, 5_000), 0.99), atol=1e-3)
    assert sorted(path.name for path in recording.parent.iterdir()) == ["out.wav", "take.one.wav"]


def test_rescaling_never_makes_louder(recording: Path, mono_export: Path) -> None:
    assert run("--model", mono_export, recording, recording.with_name("a.wav")) == 0
    assert run("-r", "--model", mono_export, recording, recording.with_name("b.wav")) == 0
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
    assert run("--model", mono_export, "--output-dir", output_dir, songs, recording) == 0
    assert _written(output_dir) == ["b.ecdc", "live/a.ecdc", "take.one.ecdc"]
    assert "exists; use -f" in fails(capsys, "--model", mono_export, "--output-dir", output_dir, songs)
    assert run("-f", "--model", mono_export, "--output-dir", output_dir, songs) == 0  # not its own output
    assert len(_written(output_dir)) == 3
    assert run("--model", mono_export, "--output-dir", tmp_path / "wavs", output_dir) == 0
    assert _written(tmp_path / "wavs") == [
        "b_decompressed.wav",
        "live/a_decompressed.wav",
        "take.one_decompressed.wav",
    ]


def test_a_folder_within_the_output_folder(recording: Path, mono_export: Path, tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    recording.rename(tmp_path / "songs/a.wav")
    assert run("--model", mono_export, "--output-dir", tmp_path, tmp_path / "songs") == 0
    assert (tmp_path / "a.ecdc").is_file()


def test_as_a_process(recording: Path, mono_export: Path) -> None:
    command = [sys.executable, "-m", "encodec_lab", "--model", str(mono_export), str(recording)]
    first = subprocess.run(command, capture_output=True, text=True)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    second = subprocess.run(command, capture_output=True, text=True)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith("encodec: output file ")
