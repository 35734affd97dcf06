"""`--salvage` and `--restore`."""

import dataclasses
import io
from pathlib import Path

import pytest
import soundfile
import torch
from cli.commands import Capture, fails, run
from fuzz.stream_cases import record_borders
from small_codec import random_wav

from encodec_lab.bitstream import v1_layout
from encodec_lab.bitstream.byte_source import ByteSource, read_version
from encodec_lab.data.audio_file import read_whole, write_wav

RATE = 24_000
RECORD = 5 * RATE  # the default
SAME = (
    1e-4  # samples are kept in 16 bits, and the decoder rounds otherwise where its pieces are cut otherwise
)


@pytest.fixture
def stream(tmp_path: Path, mono_export: Path) -> Path:
    """Fourteen seconds in three records, and what they decode to in whole.wav."""
    audio = tmp_path / "long.wav"
    write_wav(audio, random_wav(1, 14 * RATE), RATE)
    assert run("--model", mono_export, "-b", "0.9", audio) == 0
    assert run("--model", mono_export, tmp_path / "long.ecdc", tmp_path / "whole.wav") == 0
    return tmp_path / "long.ecdc"


def _damage(stream: Path, number: int, from_end: int = 0) -> None:
    """A bit in the middle of a record, or so many bytes before its end."""
    content = bytearray(stream.read_bytes())
    start, end = record_borders(bytes(content))[number : number + 2]
    content[end - from_end if from_end else (start + end) // 2] ^= 4
    stream.write_bytes(content)


def test_a_damaged_record_is_silence(stream: Path, mono_export: Path, capsys: Capture) -> None:
    whole, _ = read_whole(stream.with_name("whole.wav"))
    _damage(stream, 1)
    output = stream.with_name("saved.wav")
    assert "record 1, bytes " in (message := fails(capsys, "--model", mono_export, stream, output))
    assert "--salvage decodes the other records" in message
    assert not output.exists()
    assert run("--model", mono_export, "--salvage", stream, output) == 0
    assert capsys.readouterr() == (
        "",
        f"encodec: {stream}: damaged from 5.00 s to 10.00 s, silence instead\n",
    )
    saved, _ = read_whole(output)
    assert saved.shape == whole.shape
    assert torch.allclose(saved[:, :RECORD], whole[:, :RECORD], atol=SAME)
    assert not saved[:, RECORD : 2 * RECORD].any()
    # The decoder has forgotten what went before, and takes a moment to find back.
    assert torch.allclose(saved[:, 2 * RECORD + RATE :], whole[:, 2 * RECORD + RATE :], atol=2e-4)


def test_a_damaged_last_record_and_a_missing_one(stream: Path, mono_export: Path, capsys: Capture) -> None:
    whole, _ = read_whole(stream.with_name("whole.wav"))
    content = stream.read_bytes()
    output = stream.with_name("saved.wav")
    _damage(stream, 2)
    assert run("--model", mono_export, "--salvage", stream, output) == 0
    assert capsys.readouterr().err == f"encodec: {stream}: damaged from 10.00 s to 14.00 s, silence instead\n"
    saved, _ = read_whole(output)
    assert torch.allclose(saved[:, : 2 * RECORD], whole[:, : 2 * RECORD], atol=SAME)
    assert saved.shape == whole.shape and not saved[:, 2 * RECORD :].any()
    stream.write_bytes(content[: record_borders(content)[2]])
    assert run("-f", "--model", mono_export, "--salvage", stream, output) == 0
    assert capsys.readouterr().err == f"encodec: {stream}: the end is missing\n"
    assert torch.allclose(read_whole(output)[0], whole[:, : 2 * RECORD], atol=SAME)
    stream.write_bytes(content)
    assert run("-f", "--model", mono_export, "--salvage", stream, output) == 0
    assert capsys.readouterr().err == ""
    assert output.read_bytes() == stream.with_name("whole.wav").read_bytes()


def test_segments_fade_to_silence_and_back(tmp_path: Path, stereo_export: Path, capsys: Capture) -> None:
    audio, stream = tmp_path / "a.wav", tmp_path / "a.ecdc"
    write_wav(audio, random_wav(2, 14 * 48_000), 48_000)
    assert run("--model", stereo_export, "-b", "1.8", audio) == 0
    assert run("--model", stereo_export, stream, tmp_path / "whole.wav") == 0
    _damage(stream, 1)
    assert run("--model", stereo_export, "--salvage", stream, tmp_path / "saved.wav") == 0
    assert "silence instead" in capsys.readouterr().err
    (whole, _), (saved, _) = (read_whole(tmp_path / name) for name in ("whole.wav", "saved.wav"))
    record, overlap = 5 * 47_520, 480
    assert saved.shape == whole.shape
    assert torch.allclose(saved[:, :record], whole[:, :record], atol=SAME)
    assert not saved[:, record + overlap : 2 * record].any()
    assert torch.allclose(saved[:, 2 * record + overlap :], whole[:, 2 * record + overlap :], atol=SAME)


def test_nothing_to_salvage(recording: Path, stream: Path, mono_export: Path, capsys: Capture) -> None:
    v0 = recording.with_name("a.ecdc")
    assert run("--model", mono_export, "--format", "v0", recording, v0) == 0
    assert "version 0 has no checks" in fails(capsys, "--model", mono_export, "--salvage", v0)
    content = stream.read_bytes()
    stream.write_bytes(content[: record_borders(content)[0]] + b"noise" * 100)
    assert "none of the stream's records" in fails(capsys, "--model", mono_export, "--salvage", stream)
    assert "not an .ecdc stream" in fails(
        capsys, "--model", mono_export, "--salvage", _written(stream.with_name("b.ecdc"), b"RIFF" * 9)
    )


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("sample_rate_hz", "channels", "num_samples"),
    [(44_100, 2, 30_001), (48_000, 1, 12_345), (8_000, 2, 7_777), (24_000, 1, 2), (96_000, 2, 50_003)],
)
def test_restoring(
    tmp_path: Path,
    mono_export: Path,
    stereo_export: Path,
    sample_rate_hz: int,
    channels: int,
    num_samples: int,
) -> None:
    audio = tmp_path / "a.flac"
    soundfile.write(audio, random_wav(channels, num_samples).T.numpy(), sample_rate_hz)
    for export in (mono_export, stereo_export):
        for path in (tmp_path / "a.ecdc", audio):  # from a stream, and without one between
            assert run("-f", "--model", export, audio, tmp_path / "a.ecdc") == 0
            assert run("-f", "--restore", "--model", export, path, tmp_path / "a.wav") == 0
            info = soundfile.info(tmp_path / "a.wav")
            assert (info.samplerate, info.channels, info.frames) == (sample_rate_hz, channels, num_samples)


def test_what_cannot_be_restored(recording: Path, stream: Path, mono_export: Path, capsys: Capture) -> None:
    v0 = recording.with_name("a.ecdc")
    assert run("--model", mono_export, "--format", "v0", recording, v0) == 0
    assert "does not say what was compressed" in fails(capsys, "--model", mono_export, "--restore", v0)
    content = stream.read_bytes()
    for rate, channels in ((2**40, 1), (10**6, 2), (44_100, 200), (1, 1)):
        stream.write_bytes(_with_source(content, v1_layout.SourceAudio(rate, channels)))
        assert f"made of {channels} channels at {rate} Hz; leave --restore out" in fails(
            capsys, "--model", mono_export, "--restore", stream
        )
    assert not list(stream.parent.glob("*_decompressed*"))


def _with_source(content: bytes, source: v1_layout.SourceAudio) -> bytes:
    """The header of a stream, forged."""
    start = ByteSource(io.BytesIO(content))
    read_version(start)
    header, _ = v1_layout.read_header(start)
    return v1_layout.pack_header(dataclasses.replace(header, source=source)) + content[start.offset :]
