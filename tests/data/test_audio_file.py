import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.audio_file import (
    AudioFileError,
    probe,
    read_crop,
    read_whole,
    write_wav,
    write_wav_pieces,
)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus", "aiff"])
@pytest.mark.parametrize("channels", [1, 2])
def test_crops_equal_the_whole_file(write_noise, suffix, channels):
    rate_hz = 48_000 if suffix == "opus" else 44_100
    path = write_noise(f"noise.{suffix}", 1.5, rate_hz, channels)
    whole, whole_rate_hz = read_whole(path)
    info = probe(path)
    assert (info.sample_rate_hz, info.channels, info.num_samples) == (rate_hz, channels, whole.shape[-1])
    assert whole_rate_hz == rate_hz
    assert whole.shape[0] == channels
    assert whole.dtype == torch.float32
    for offset, length in [(0, 100), (12_345, 30_000), (info.num_samples - 50, 50)]:
        crop = read_crop(path, offset, length)
        torch.testing.assert_close(crop, whole[:, offset : offset + length], atol=1e-4, rtol=0)


def test_a_crop_past_the_end_is_cut(write_noise):
    path = write_noise("noise.flac", 1.0)
    assert read_crop(path, 23_990, 100).shape == (1, 10)
    assert read_crop(path, 30_000, 100).shape == (1, 0)
    with pytest.raises(ValueError, match="-1"):
        read_crop(path, -1, 10)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 96_000, 192_000])
def test_rates_within_the_limits_are_read(write_noise, rate_hz):
    path = write_noise("noise.wav", 0.1, rate_hz)
    assert read_whole(path)[1] == rate_hz


def _bad_file(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.wav"
    noise = np.zeros(2_000, np.float32)
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not audio")
    elif kind == "no samples":
        soundfile.write(path, noise[:0], 24_000)
    elif kind == "NaN":
        soundfile.write(path, noise + np.nan, 24_000, subtype="FLOAT")
    elif kind == "infinite":
        soundfile.write(path, noise + np.inf, 24_000, subtype="FLOAT")
    elif kind == "3 channels":
        soundfile.write(path, np.zeros((2_000, 3)), 24_000)
    elif kind in ("7999 Hz", "192001 Hz"):
        soundfile.write(path, noise, int(kind.split()[0]))
    elif kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        path = path.with_suffix(".mp3")
        soundfile.write(path, np.random.default_rng(0).standard_normal(100_000) / 10, 24_000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "damaged":
        path = path.with_suffix(".flac")
        soundfile.write(path, np.random.default_rng(0).standard_normal(100_000) / 10, 24_000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "headerless":
        path = path.with_suffix(".raw")
        path.write_bytes(b"0123")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "0 bytes"),
        ("text", "cannot be read as audio"),
        ("headerless", "cannot be read as audio"),
        ("no samples", "no samples"),
        ("NaN", "NaN"),
        ("infinite", "infinite"),
        ("3 channels", "3 channels"),
        ("7999 Hz", "7999 Hz"),
        ("192001 Hz", "192001 Hz"),
        ("truncated", "truncated"),
        ("damaged", "cannot be read as audio"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, kind, words):
    path = _bad_file(kind, tmp_path)
    with pytest.raises(AudioFileError) as caught:
        read_whole(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(AudioFileError):
        read_crop(path, 0, 1 << 20)


def test_wav_round_trip_and_clipping(tmp_path):
    path = tmp_path / "out.wav"
    wav = torch.linspace(-1.5, 1.5, 1_000).repeat(2, 1)
    write_wav(path, wav, 48_000)
    again, rate_hz = read_whole(path)
    assert rate_hz == 48_000
    assert soundfile.info(path).subtype == "PCM_16"
    torch.testing.assert_close(again, wav.clamp(-1, 1), atol=1 / 32_000, rtol=0)


def test_a_wav_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "out.wav"
    path.write_text("before")
    for wav in (torch.full((1, 10), torch.nan), torch.zeros(3, 10), torch.zeros(10)):
        with pytest.raises(ValueError, match=r"out\.wav"):
            write_wav(path, wav, 24_000)

    with pytest.raises(ValueError, match="no audio"):
        write_wav_pieces(path, [], 24_000)

    def fail(file, samples):
        raise OSError("disk full")

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_wav(path, torch.zeros(1, 10), 24_000)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_error_that_names_the_file(tmp_path):
    """In a process of its own, whose files may not grow: nothing else is to be said on standard error."""
    program = f"""
import resource, torch
from encodec_lab.data.audio_file import write_wav_pieces
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_wav_pieces({str(tmp_path / "out.wav")!r}, (torch.zeros(1, 10_000) for _ in range(9)), 24_000)
except OSError as error:
    print(error.filename, error.strerror)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.stdout == f"{tmp_path / 'out.wav'} cannot be written to the end; is the disk full?\n"
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_wav(tmp_path / "nowhere/out.wav", torch.zeros(1, 10), 24_000)
