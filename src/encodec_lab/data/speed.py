"""Random speed, for training: pitch and tempo together, as a tape does that runs too fast or too slow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from encodec_lab.data.augmentation import check_probability, check_range, takes_place

_STEPS_PER_UNIT = 200
# Bounds the tables of resampling filters, which have as many rows: from 44.1 to 24 kHz at some speed would else need
# thousands. The ratio of the rates is off by 1/400 for it at most.
_MAX_DENOMINATOR = 200


@dataclass(frozen=True)
class RandomSpeed:
    """Draws how many times faster a recording is played, uniformly in steps of 0.005 (Ko et al. 2015, "Audio
    Augmentation for Speech Recognition", which has 0.9, 1 and 1.1).

    It is resampled in one step with the change to the model's rate, so a crop at its full length is read from as much
    more, or less, of the file.

    Args:
        probability: that a crop is not played at the speed of its file.
        factor: (low, high), each 0.25 to 4; above 1 is faster and higher.
    """

    probability: float
    factor: Sequence[float]

    def __post_init__(self) -> None:
        check_probability("speed", self.probability)
        low, high = check_range("speed.factor", self.factor)
        if not 0.25 <= low <= high <= 4:
            raise ValueError(f"speed.factor must be within 0.25 and 4, got {self.factor!r}")
        if self._steps[0] > self._steps[1]:
            raise ValueError(f"speed.factor must hold a multiple of 0.005, got {self.factor!r}")

    def draw(self, rng: np.random.Generator) -> Fraction:
        """The factor of one item; 1 where nothing changes."""
        if not takes_place(self.probability, rng):
            return Fraction(1)
        low, high = self._steps
        return Fraction(int(rng.integers(low, high + 1)), _STEPS_PER_UNIT)

    @property
    def _steps(self) -> tuple[int, int]:
        # Rounding keeps 1.1 * 200 from being 220.00000000000003.
        low, high = (round(bound * _STEPS_PER_UNIT, 6) for bound in self.factor)
        return math.ceil(low), math.floor(high)


def rates_at_speed(from_hz: int, to_hz: int, factor: Fraction) -> tuple[int, int]:
    """The rates between which to resample so that audio is also played `factor` times faster; only their ratio counts.

    A file at `from_hz` that is taken for one at `factor` times this rate comes out at that speed.
    """
    if factor == 1:
        return from_hz, to_hz
    ratio = Fraction(from_hz * factor, to_hz).limit_denominator(_MAX_DENOMINATOR)
    return ratio.numerator, ratio.denominator
