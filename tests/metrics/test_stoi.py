"""STOI against the package itself, and everything that can go wrong in it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from encodec_lab.metrics import NotScored, stoi

pystoi = pytest.importorskip("pystoi", reason="the package pystoi is not installed")

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def speech(carried_clip_16khz: Array) -> Array:
    """Two seconds at 16 kHz."""
    return carried_clip_16khz[:32_000]


@pytest.mark.parametrize("amount", [0.01, 0.1])
def test_equals_the_package(speech: Array, amount: float) -> None:
    degraded = speech + amount * np.random.default_rng(0).standard_normal(speech.shape)
    expected = float(pystoi.stoi(speech, degraded, 16_000, extended=False))
    assert stoi(speech, degraded, 16_000) == pytest.approx(expected, abs=1e-12)


def test_stereo_scores_as_its_mono_mix(speech: Array) -> None:
    degraded = speech + 0.05 * np.random.default_rng(0).standard_normal(speech.shape)
    spread = np.array([[1.4], [0.6]])
    assert stoi(spread * speech, spread * degraded, 16_000) == pytest.approx(
        stoi(speech, degraded, 16_000), abs=1e-9
    )


def test_equal_signals_score_one(speech: Array) -> None:
    assert stoi(speech, speech, 16_000) == pytest.approx(1, abs=1e-6)


def test_falls_with_noise(speech: Array) -> None:
    noise = np.random.default_rng(0).standard_normal(speech.shape)
    scores = [stoi(speech, speech + amount * noise, 16_000) for amount in (0.001, 0.01, 0.1)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("reference_gain", "degraded_gain"), [(0, 1), (1, 0)])
def test_silence(speech: Array, reference_gain: float, degraded_gain: float) -> None:
    with pytest.raises(NotScored, match="silence"):
        stoi(reference_gain * speech, degraded_gain * speech, 16_000)


def test_too_short_before_and_after_removing_silence(speech: Array) -> None:
    with pytest.raises(NotScored, match="too short"):
        stoi(speech[:6_000], speech[:6_000], 16_000)
    mostly_silent = np.zeros(32_000)
    mostly_silent[:3_000] = speech[8_000:11_000]
    with pytest.raises(NotScored, match="removed the silent frames"):
        stoi(mostly_silent, mostly_silent, 16_000)


def test_unequal_lengths_and_not_finite(speech: Array) -> None:
    with pytest.raises(NotScored, match="unequal lengths"):
        stoi(speech, speech[:-1], 16_000)
    with pytest.raises(NotScored, match="not finite"):
        stoi(speech, np.full_like(speech, np.inf), 16_000)


def test_missing_package(speech: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotScored, match="pystoi is not installed"):
        stoi(speech, speech, 16_000)
