"""SI-SNR against its formula in NumPy and against cases with a known value."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encodec_lab.metrics import NotScored, si_snr

RATE_HZ = 24_000


def _formula_db(reference: NDArray[np.float64], degraded: NDArray[np.float64]) -> float:
    values = []
    for clean, noisy in zip(np.atleast_2d(reference), np.atleast_2d(degraded), strict=True):
        clean, noisy = clean - clean.mean(), noisy - noisy.mean()
        target = np.dot(noisy, clean) / np.dot(clean, clean) * clean
        values.append(10 * np.log10(np.sum(target**2) / np.sum((noisy - target) ** 2)))
    return float(np.mean(values))


@pytest.mark.parametrize("shape", [(2000,), (1, 2000), (2, 2000)])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_formula(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = 0.3 + 0.1 * rng.standard_normal(shape)
    degraded = 0.7 * reference - 0.2 + 0.05 * rng.standard_normal(shape)
    assert si_snr(reference, degraded, RATE_HZ) == pytest.approx(_formula_db(reference, degraded), abs=1e-9)
    as_tensors = si_snr(torch.from_numpy(reference), torch.from_numpy(degraded), RATE_HZ)
    assert as_tensors == si_snr(reference, degraded, RATE_HZ)


def test_known_value_of_an_orthogonal_error() -> None:
    """A sine of amplitude 1 and an orthogonal one of 0.1: exactly 20 dB, whatever the scale and the offset."""
    phase = 2 * np.pi * np.arange(2400) / 240
    degraded = 3 * (np.sin(phase) + 0.1 * np.cos(phase)) + 0.5
    assert si_snr(np.sin(phase), degraded, RATE_HZ) == pytest.approx(20, abs=1e-9)


def test_stereo_is_the_mean_of_its_channels_in_db() -> None:
    phase = 2 * np.pi * np.arange(2400) / 240
    clean = np.stack([np.sin(phase)] * 2)
    degraded = np.stack([np.sin(phase) + 0.1 * np.cos(phase), np.sin(phase) + 0.01 * np.cos(phase)])
    assert si_snr(clean, degraded, RATE_HZ) == pytest.approx(30, abs=1e-9)


def test_computed_in_float64_for_float32_input() -> None:
    """At 100 dB a float32 computation would be off by whole decibels."""
    rng = np.random.default_rng(0)
    reference = rng.standard_normal(48_000).astype(np.float32)
    degraded = (reference + 1e-5 * rng.standard_normal(48_000)).astype(np.float32)
    expected = _formula_db(reference.astype(np.float64), degraded.astype(np.float64))
    assert si_snr(reference, degraded, RATE_HZ) == pytest.approx(expected, abs=1e-6)


def test_views_that_torch_does_not_take_as_they_are() -> None:
    wav = np.sin(np.arange(1000.0))
    degraded = wav + 0.1 * np.cos(np.arange(1000.0))
    wav.setflags(write=False)
    assert si_snr(wav[::-1], degraded[::-1], RATE_HZ) == pytest.approx(si_snr(wav, degraded, RATE_HZ))


def test_no_error_is_infinite() -> None:
    wav = np.sin(np.arange(1000.0))
    assert si_snr(wav, wav, RATE_HZ) == math.inf


@pytest.mark.parametrize(
    ("reference", "degraded", "reason"),
    [
        (np.zeros(100), np.ones(100), "silence: channel 0 of the reference"),
        (np.full(100, 0.1), np.sin(np.arange(100.0)), "silence: channel 0 of the reference"),
        (np.sin(np.arange(100.0)), np.zeros(100), "silence: channel 0 of the degraded"),
        (
            np.stack([np.sin(np.arange(9.0)), np.zeros(9)]),
            np.ones((2, 9)),
            "silence: channel 1 of the reference",
        ),
        (np.ones(100), np.ones(99), "unequal lengths: the reference has 100 samples, the degraded 99"),
        (np.ones((2, 9)), np.ones((1, 9)), "unequal channels"),
        (np.array([0.0, np.nan, 1.0]), np.ones(3), "not finite"),
        (np.ones(3), np.array([0.0, np.inf, 1.0]), "not finite"),
        (np.ones((1, 1, 9)), np.ones((1, 1, 9)), r"shape \(1, 1, 9\)"),
        (np.ones(0), np.ones(0), "too short"),
        (np.ones(9, dtype=np.int16), np.ones(9, dtype=np.int16), "int16"),
    ],
)
def test_what_cannot_be_scored_says_why(reference: np.ndarray, degraded: np.ndarray, reason: str) -> None:
    with pytest.raises(NotScored, match=reason):
        si_snr(reference, degraded, RATE_HZ)


@pytest.mark.parametrize("rate", [0, -1, 44_100.5, float("nan"), True])
def test_impossible_rate(rate: float) -> None:
    wav = np.sin(np.arange(100.0))
    with pytest.raises(NotScored, match="sample rate"):
        si_snr(wav, wav, rate)  # type: ignore[arg-type]


def test_not_scored_is_a_value_error() -> None:
    assert issubclass(NotScored, ValueError)
