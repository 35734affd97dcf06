"""Real speech for the metrics that are defined on speech only."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from encodec_lab.modules.signal import resample


@pytest.fixture(scope="session")
def carried_clip_16khz(carried_audio: Path) -> NDArray[np.float64]:
    """A carried test clip of speech, [T] float64 at 16 kHz."""
    wav, rate_hz = soundfile.read(carried_audio / "test/speech/en_ljspeech_f_02.flac")
    samples: NDArray[np.float64] = resample(torch.from_numpy(wav), rate_hz, 16_000).numpy()
    return samples
