"""Mel spectrograms as PNG images, without a drawing library."""

import functools
import struct
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.modules.signal import mel_filterbank

Levels = NDArray[np.float64]
"""[S, M] in dB: columns of the image from left to right, mel bands from low to high."""

NUM_MELS = 96
NUM_COLUMNS = 420
DYNAMIC_RANGE_DB = 75.0
_WINDOW_LENGTH = 2048
_FLOOR = 1e-10
# Dark to light with evenly rising lightness, so that it also reads in grey.
_COLOUR_STOPS = (
    (6, 4, 24), (44, 17, 95), (114, 31, 129), (183, 55, 121), (241, 96, 93), (254, 176, 120), (252, 253, 191)
)  # fmt: skip


def mel_spectrogram_db(wav: Tensor, sample_rate_hz: int) -> Levels:
    """[C, T] to [NUM_COLUMNS, NUM_MELS]: the level in dB of the mono mix, lowest frequency first."""
    mono = wav.detach().cpu().double().mean(dim=0)
    padded = torch.nn.functional.pad(mono, (0, max(0, _WINDOW_LENGTH - mono.shape[0])))
    hop = padded.shape[0] // NUM_COLUMNS
    window = torch.hann_window(_WINDOW_LENGTH, dtype=mono.dtype)
    spectra = torch.stft(padded, _WINDOW_LENGTH, hop, window=window, center=True, return_complex=True)
    power = spectra.abs().square().mT[:NUM_COLUMNS] @ _filters(sample_rate_hz)
    decibels: Levels = (10 * torch.log10(power.clamp(min=_FLOOR))).numpy()
    return decibels


def spectrogram_png(decibels: Levels, top_db: float) -> bytes:
    """[S, M] levels as a PNG of S by M pixels, time to the right and frequency up; `top_db` is the lightest colour."""
    shades = np.clip((decibels - top_db) / DYNAMIC_RANGE_DB + 1, 0, 1)
    return indexed_png((shades.T[::-1] * 255).round().astype(np.uint8), _palette())


def indexed_png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A PNG of [height, width] indices into a palette [256, 3] of RGB (ISO/IEC 15948, colour type 3)."""
    height, width = indices.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], axis=1)  # each row starts with filter 0
    pixels = zlib.compress(rows.tobytes(), 9)
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def mel_position(frequency_hz: float, sample_rate_hz: int) -> float:
    """Where a frequency lies on the image's vertical axis: 0 at the bottom, 1 (Nyquist) at the top."""
    return float(np.log1p(frequency_hz / 700) / np.log1p(sample_rate_hz / 2 / 700))


@functools.lru_cache(maxsize=4)
def _filters(sample_rate_hz: int) -> Tensor:
    return mel_filterbank(_WINDOW_LENGTH // 2 + 1, NUM_MELS, sample_rate_hz).double()


def _palette() -> NDArray[np.uint8]:
    """[256, 3] RGB."""
    stops = np.array(_COLOUR_STOPS, dtype=np.float64)
    positions = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(positions, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
