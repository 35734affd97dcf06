"""Random changes of training audio, each a function of the audio and of the numbers that it draws."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Audio [C, T] and the item's own stream of random numbers -> audio [C, T].
Augmentation = Callable[[Tensor, np.random.Generator], Tensor]


@dataclass(frozen=True)
class Chain:
    """Several augmentations, one after the other."""

    steps: Sequence[Augmentation]

    def __call__(self, wav: Tensor, rng: np.random.Generator) -> Tensor:
        """[C, T] -> [C, T]."""
        for step in self.steps:
            wav = step(wav, rng)
        return wav


def takes_place(probability: float, rng: np.random.Generator) -> bool:
    """Whether something of this probability happens to an item.

    0 and 1 draw nothing: a step that is switched off leaves all other draws as they are without it.
    """
    return probability >= 1 or (probability > 0 and bool(rng.random() < probability))


def without_clipping(wav: Tensor) -> Tensor:
    """Scaled down to a peak of 1 if it is above."""
    peak = float(wav.abs().max()) if wav.numel() else 0.0
    # The scaled peak is clamped too, since rounding can carry it past 1.
    return (wav * (1 / peak)).clamp(-1, 1) if peak > 1 else wav


def fft_length(num_samples: int) -> int:
    """The least even length, not below `num_samples`, of a few whose prime factors are 2, 3 and 5."""
    return min(
        odd << max(1, (-(-num_samples // odd) - 1).bit_length()) for odd in (1, 3, 5, 9, 15, 25, 27, 45)
    )


def filtered(wav: Tensor, spectrum: NDArray[Any], length: int) -> Tensor:
    """Multiply the spectrum of [C, T], padded with zeros to `length`, by this one [.., length / 2 + 1]: [C, T].

    By NumPy, whose transforms take a third of the time of torch's here.
    """
    samples = wav.numpy()
    changed = np.fft.irfft(np.fft.rfft(samples, length) * spectrum, length)[..., : samples.shape[-1]]
    return torch.from_numpy(changed.astype(samples.dtype))


def check_probability(name: str, probability: float) -> None:
    """Raise ValueError unless it is a number from 0 to 1."""
    if not 0 <= probability <= 1:
        raise ValueError(f"{name}.probability must be between 0 and 1, got {probability}")


def check_range(name: str, bounds: Sequence[float]) -> tuple[float, float]:
    """The bounds (low, high); ValueError unless they are finite and in order."""
    if len(bounds) != 2 or not all(math.isfinite(bound) for bound in bounds) or bounds[0] > bounds[1]:
        raise ValueError(f"{name} must be a finite (low, high) with low <= high, got {bounds!r}")
    return float(bounds[0]), float(bounds[1])
