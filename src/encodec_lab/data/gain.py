"""Random gain, for training."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from encodec_lab.data.augmentation import without_clipping


@dataclass(frozen=True)
class RandomGain:
    """Scale by a gain drawn uniformly in decibels (paper section 4.1), lowered where it would make the peak pass 1."""

    low_db: float
    high_db: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.low_db) or not math.isfinite(self.high_db) or self.low_db > self.high_db:
            raise ValueError(
                f"gain_db must be a finite (low, high) with low <= high, got {self.low_db}, {self.high_db}"
            )

    def __call__(self, wav: Tensor, rng: np.random.Generator) -> Tensor:
        """[C, T] -> [C, T]; draws one number."""
        return without_clipping(wav * 10 ** (self.draw(rng) / 20))

    def draw(self, rng: np.random.Generator) -> float:
        """The gain of one item in decibels, before it is lowered where it would clip."""
        return float(rng.uniform(self.low_db, self.high_db))
