"""A random smooth equalizer, for training: other microphones, rooms and loudspeakers than those of the recordings."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.data.augmentation import check_probability, check_range, fft_length, filtered, takes_place

# Zeros to each side of the crop, in periods of the lowest band: there its response, which goes both ways, dies out.
_PADDING_PERIODS = 2


@dataclass(frozen=True)
class RandomEqualizer:
    """Change the level of several bands, each by a gain drawn uniformly in decibels; zero phase.

    The bands' centres are equally spaced in log frequency, up to half the sample rate. Between neighbours the gain in
    decibels goes over as a raised cosine of log frequency; below the first it stays.

    Args:
        probability: that a crop is changed.
        gain_db: (low, high).
        num_bands: two or more.
        low_hz: centre of the first band.
        sample_rate_hz: of the audio.
    """

    probability: float
    gain_db: Sequence[float]
    num_bands: int
    low_hz: float
    sample_rate_hz: int

    def __post_init__(self) -> None:
        check_probability("equalizer", self.probability)
        check_range("equalizer.gain_db", self.gain_db)
        if self.num_bands < 2:
            raise ValueError(f"equalizer.num_bands must be 2 or more, got {self.num_bands}")
        if not 0 < self.low_hz < self.sample_rate_hz / 2:
            raise ValueError(
                f"equalizer.low_hz must be between 0 and half the sample rate, {self.sample_rate_hz / 2:g} Hz, "
                f"got {self.low_hz}"
            )

    def __call__(self, wav: Tensor, rng: np.random.Generator) -> Tensor:
        """[C, T] -> [C, T]; the peak may rise or fall."""
        gains_db = self.draw(rng)
        if gains_db is None:
            return wav
        padding = round(_PADDING_PERIODS * self.sample_rate_hz / self.low_hz)
        # The circular transform lets what would come before the first sample appear at the end, beyond the crop.
        length = fft_length(wav.shape[-1] + 2 * padding)
        weights = _band_weights(self.num_bands, self.low_hz, self.sample_rate_hz, 1 + length // 2)
        gains: NDArray[np.float64] = np.exp(gains_db * (math.log(10) / 20) @ weights)
        return filtered(wav, gains.astype(np.float32), length)

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64] | None:
        """The bands' gains of one item in decibels, from low to high; None where nothing changes."""
        if not takes_place(self.probability, rng):
            return None
        return rng.uniform(self.gain_db[0], self.gain_db[1], self.num_bands)


@functools.lru_cache(maxsize=8)
def _band_weights(num_bands: int, low_hz: float, sample_rate_hz: int, num_bins: int) -> NDArray[np.float64]:
    """How much each band counts at each bin of a one-sided spectrum: [bands, num_bins], each column sums to 1."""
    high_hz = sample_rate_hz / 2
    frequencies_hz = np.linspace(0, high_hz, num_bins).clip(min=low_hz)
    places = np.log(frequencies_hz / low_hz) / np.log(high_hz / low_hz) * (num_bands - 1)
    distances = np.abs(places - np.arange(num_bands)[:, None]).clip(max=1)
    return np.asarray(np.cos(np.pi / 2 * distances) ** 2)
