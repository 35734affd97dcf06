"""PNG files that a decoder of its own accepts, with sound where it belongs."""

import struct
import zlib

import numpy as np
import pytest
import torch

from encodec_lab.evaluation.spectrogram_image import (
    NUM_COLUMNS,
    NUM_MELS,
    indexed_png,
    mel_position,
    mel_spectrogram_db,
    spectrogram_png,
)


def _read_indexed_png(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Indices [height, width] and palette [256, 3]; checks signature and checksums."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", data, position + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        position += 12 + length
    width, height, depth, colour_type, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour_type, list(chunks)[-1]) == (8, 3, b"IEND")
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(256, 3)


def test_png_holds_the_pixels() -> None:
    rng = np.random.default_rng(0)
    indices = rng.integers(256, size=(7, 5)).astype(np.uint8)
    palette = rng.integers(256, size=(256, 3)).astype(np.uint8)
    read_indices, read_palette = _read_indexed_png(indexed_png(indices, palette))
    assert np.array_equal(read_indices, indices)
    assert np.array_equal(read_palette, palette)


@pytest.mark.parametrize("frequency_hz", [300.0, 2_000.0, 9_000.0])
def test_a_tone_is_a_line_at_its_height(frequency_hz: float) -> None:
    wav = torch.sin(2 * torch.pi * frequency_hz * torch.arange(24_000) / 24_000)[None]
    levels = mel_spectrogram_db(wav, 24_000)
    assert levels.shape == (NUM_COLUMNS, NUM_MELS)
    indices, _ = _read_indexed_png(spectrogram_png(levels, levels.max()))
    assert indices.shape == (NUM_MELS, NUM_COLUMNS)
    row_from_bottom = NUM_MELS - 1 - int(indices[:, NUM_COLUMNS // 2].argmax())
    assert (row_from_bottom + 0.5) / NUM_MELS == pytest.approx(mel_position(frequency_hz, 24_000), abs=0.02)


def test_time_runs_to_the_right_and_silence_is_dark() -> None:
    wav = torch.zeros(1, 24_000)
    wav[:, 12_000:] = torch.randn(12_000, generator=torch.Generator().manual_seed(0))
    levels = mel_spectrogram_db(wav, 24_000)
    indices, palette = _read_indexed_png(spectrogram_png(levels, levels.max()))
    assert indices[:, : int(0.4 * NUM_COLUMNS)].max() == 0
    assert indices[:, int(0.6 * NUM_COLUMNS) :].min() > 100
    lightness = palette.astype(float).sum(axis=1)
    assert lightness[0] < 50 < 650 < lightness[-1]


def test_shorter_than_a_window() -> None:
    assert np.isfinite(mel_spectrogram_db(torch.ones(2, 10), 48_000)).all()
