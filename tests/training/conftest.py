"""Audio to train on, made on the spot."""

from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def noise_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with half a second of coloured noise each in `train/{a,b}.wav` and `valid/{c,d}.wav`, 24 kHz mono."""
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for name in ("train/a.wav", "train/b.wav", "valid/c.wav", "valid/d.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        noise = np.convolve(rng.standard_normal(12_000), np.hanning(16) / 8, mode="same")
        soundfile.write(root / name, 0.1 * noise.clip(-3, 3), 24_000)
    return root
