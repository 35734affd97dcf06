"""The mel distance against an independent computation in NumPy, filters included."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encodec_lab.metrics import NotScored, mel_distance

Array = NDArray[np.float64]


def _hz_of_mel(mel: Array) -> Array:
    """Slaney's scale: linear to 1 kHz (15 mel), logarithmic above."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _slaney_filters(window_length: int, num_mels: int, rate_hz: int) -> Array:
    top_mel = 15 + 27 * np.log(rate_hz / 2 / 1000) / np.log(6.4)
    edges_hz = _hz_of_mel(np.linspace(0, top_mel, num_mels + 2))
    bins_hz = np.arange(window_length // 2 + 1) * rate_hz / window_length
    filters = []
    for low, centre, high in zip(edges_hz, edges_hz[1:], edges_hz[2:], strict=False):
        triangle = np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre))
        filters.append(np.maximum(triangle, 0) * 2 / (high - low))
    return np.stack(filters, axis=1)


def _mel_magnitudes(wav: Array, window_length: int, num_mels: int, rate_hz: int) -> Array:
    padded = np.pad(wav, window_length // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_length) / window_length)
    starts = range(0, len(padded) - window_length + 1, window_length // 4)
    frames = np.stack([padded[start : start + window_length] * window for start in starts])
    return np.abs(np.fft.rfft(frames)) @ _slaney_filters(window_length, num_mels, rate_hz)


def _formula(reference: Array, degraded: Array, rate_hz: int) -> float:
    total = 0.0
    for window_length, num_mels in ((2048, 150), (512, 80)):
        terms = []
        for clean, noisy in zip(np.atleast_2d(reference), np.atleast_2d(degraded), strict=True):
            mels = [_mel_magnitudes(wav, window_length, num_mels, rate_hz) for wav in (clean, noisy)]
            logs = [np.log10(np.maximum(mel, 1e-5) ** 2) for mel in mels]
            terms.append(np.abs(logs[0] - logs[1]).mean() + np.abs(mels[0] - mels[1]).mean())
        total += float(np.mean(terms))
    return total


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_equals_the_formula(rate_hz: int) -> None:
    rng = np.random.default_rng(rate_hz)
    reference = 0.1 * rng.standard_normal(6_000)
    degraded = reference + 0.03 * rng.standard_normal(6_000)
    assert mel_distance(reference, degraded, rate_hz) == pytest.approx(
        _formula(reference, degraded, rate_hz), rel=1e-6
    )


def test_stereo_averages_over_channels() -> None:
    rng = np.random.default_rng(0)
    reference, degraded = rng.standard_normal((2, 2, 5_000))
    measured = mel_distance(torch.from_numpy(reference), torch.from_numpy(degraded), 24_000)
    assert measured == pytest.approx(_formula(reference, degraded, 24_000), rel=1e-6)


def test_known_value_of_a_gain() -> None:
    """A gain of 10 on noise far over the floor adds log10(100) = 2 per scale, and 9 times the mean mel."""
    reference = np.random.default_rng(0).standard_normal(8_000)
    mean_mels = sum(_mel_magnitudes(reference, *scale, 24_000).mean() for scale in ((2048, 150), (512, 80)))
    assert mel_distance(reference, 10 * reference, 24_000) == pytest.approx(4 + 9 * mean_mels, rel=1e-6)


def test_zero_for_equal_signals_and_for_silence() -> None:
    assert mel_distance(np.ones(2048), np.ones(2048), 24_000) == 0
    assert mel_distance(np.zeros(2048), np.zeros(2048), 24_000) == 0


def test_too_short_by_one_sample() -> None:
    assert mel_distance(np.zeros(1025), np.zeros(1025), 24_000) == 0
    with pytest.raises(NotScored, match="too short: 1024 samples, at least 1025"):
        mel_distance(np.zeros(1024), np.zeros(1024), 24_000)


def test_not_finite() -> None:
    with pytest.raises(NotScored, match="reference signal holds values that are not finite"):
        mel_distance(np.full(2048, np.nan), np.zeros(2048), 24_000)
