"""Blocks of a file against the whole file, converted at once."""

import io

import numpy as np
import pytest
import soundfile
import torch
from small_codec import random_wav

from encodec_lab.data.audio_blocks import AudioBlocks, convert_blocks
from encodec_lab.data.audio_file import AudioFileError
from encodec_lab.data.convert import convert_audio
from encodec_lab.data.converted_audio import read_converted

RATES = [
    (44_100, 24_000),
    (48_000, 24_000),
    (24_000, 48_000),
    (8_000, 24_000),
    (24_000, 24_000),
    (11_025, 48_000),
    (192_000, 24_000),
]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize(("channels", "target_channels"), [(1, 1), (1, 2), (2, 1)])
def test_blocks_of_any_length_equal_the_whole(from_hz, to_hz, channels, target_channels):
    for num_samples, sizes in [(1, [1]), (147, [1, 20]), (2_003, [1, 147, 500]), (50_001, [997, 20_000])]:
        wav = random_wav(channels, num_samples)
        whole = convert_audio(wav, from_hz, to_hz, target_channels)
        for size in sizes:
            blocks = list(convert_blocks(wav.split(size, dim=-1), from_hz, to_hz, target_channels))
            assert all(block.shape[-1] for block in blocks)
            torch.testing.assert_close(torch.cat(blocks, dim=-1), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus"])
def test_files_of_all_kinds(write_noise, suffix):
    path = write_noise(f"noise.{suffix}", 1.3, 48_000 if suffix == "opus" else 44_100, 2)
    whole = read_converted(path, 24_000, 1)
    blocks = AudioBlocks(path, 24_000, 1, block_s=0.25)
    assert blocks.num_samples == whole.shape[-1]
    for _ in range(2):  # may be read again
        pieces = list(blocks)
        assert 5 <= len(pieces) <= 7 and max(piece.shape[-1] for piece in pieces) < 2 * 0.25 * 24_000
        torch.testing.assert_close(torch.cat(pieces, dim=-1), whole, atol=1e-6, rtol=0)


def test_open_files(write_noise):
    path = write_noise("noise.flac", 0.5, 44_100)
    whole = read_converted(path, 24_000, 1)
    with open(path, "rb") as file:
        file.read(10)
        torch.testing.assert_close(torch.cat(list(AudioBlocks(file, 24_000, 1, 0.1)), dim=-1), whole)
        assert not file.closed
    memory = io.BytesIO(path.read_bytes())
    torch.testing.assert_close(torch.cat(list(AudioBlocks(memory, 24_000, 1, 9.0)), dim=-1), whole)


def test_faults_are_told_with_the_name_of_the_file(tmp_path, write_nan):
    with pytest.raises(AudioFileError, match=r"missing\.wav: no such file"):
        AudioBlocks(tmp_path / "missing.wav", 24_000, 1, 1.0)
    path = tmp_path / "empty.wav"
    path.touch()
    with pytest.raises(AudioFileError, match=r"empty\.wav.*0 bytes"):
        AudioBlocks(path, 24_000, 1, 1.0)
    with (
        open(path, "rb") as file,
        pytest.raises(AudioFileError, match=r"empty\.wav: cannot be read as audio"),
    ):
        AudioBlocks(file, 24_000, 1, 1.0)
    with pytest.raises(AudioFileError, match=r"bad\.wav: holds NaN"):
        list(AudioBlocks(write_nan("bad.wav"), 24_000, 1, 1.0))
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).standard_normal(100_000) / 10, 24_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioFileError, match=r"cut\.flac"):
        list(AudioBlocks(path, 24_000, 1, 1.0))


def test_a_pipe_is_refused():
    class Pipe(io.BytesIO):
        name = "<stdin>"

        def seekable(self) -> bool:
            return False

    with pytest.raises(AudioFileError, match="<stdin>: cannot be rewound"):
        AudioBlocks(Pipe(b"RIFF"), 24_000, 1, 1.0)


def test_wrong_arguments_are_refused(write_noise):
    path = write_noise("noise.wav", 0.1)
    for block_s in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="block_s"):
            AudioBlocks(path, 24_000, 1, block_s)
    with pytest.raises(ValueError, match="0 Hz"):
        AudioBlocks(path, 0, 1, 1.0)
    with pytest.raises(ValueError, match="3 channels"):
        AudioBlocks(path, 24_000, 3, 1.0)
