"""Small audio files, made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

WriteNoise = Callable[..., Path]


@pytest.fixture
def write_noise(tmp_path: Path) -> WriteNoise:
    """`write_noise("a/b.flac", seconds, sample_rate_hz, channels, level)` -> path; the format follows the suffix."""

    def write(
        name: str, seconds: float = 2.0, sample_rate_hz: int = 24_000, channels: int = 1, level: float = 0.1
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(name))
        noise = level * rng.standard_normal((round(seconds * sample_rate_hz), channels)).clip(-3, 3)
        subtype = {".opus": "OPUS", ".ogg": "VORBIS", ".wav": "FLOAT"}.get(path.suffix)
        kind = {".opus": "OGG"}.get(path.suffix)
        soundfile.write(path, noise.astype(np.float32), sample_rate_hz, subtype=subtype, format=kind)
        return path

    return write


@pytest.fixture
def write_nan(tmp_path: Path) -> WriteNoise:
    """`write_nan("bad.wav", seconds)` -> path of a file whose header is sound and whose samples are all NaN."""

    def write(name: str, seconds: float = 2.0, sample_rate_hz: int = 24_000) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(
            path, np.full(round(seconds * sample_rate_hz), np.nan), sample_rate_hz, subtype="FLOAT"
        )
        return path

    return write
