"""ViSQOL against google/visqol's conformance scores and an independent implementation, and what it does not score."""

import csv
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from encodec_lab.metrics import NotScored, visqol
from encodec_lab.modules.signal import resample

Array = NDArray[np.float64]
Mode = Literal["audio", "speech"]

IDENTICAL_AUDIO = 4.732101  # what google/visqol's conformance test expects of castanets against themselves


@pytest.fixture(scope="module")
def music(carried_audio: Path) -> Array:
    """Three seconds at 48 kHz, mono."""
    wav, _ = soundfile.read(carried_audio / "test/music/mdn_lofi_00.flac", frames=144_000)
    mix: Array = wav.mean(axis=1)
    return mix


@pytest.fixture(scope="module")
def speech(carried_clip_16khz: Array) -> Array:
    """Three seconds at 16 kHz."""
    return carried_clip_16khz[:48_000]


def _low_passed(wav: Array) -> Array:
    return np.convolve(wav, np.full(9, 1 / 9), "same")


def _noisy(wav: Array, amount: float = 0.01) -> Array:
    return wav + amount * np.random.default_rng(0).standard_normal(wav.shape)


def _coarse(wav: Array) -> Array:
    """Spectra of blocks, quantised as a transform codec would, which leaves holes."""
    spectra = np.fft.rfft(wav.reshape(-1, 1000))
    return np.fft.irfft(np.round(spectra), 1000).reshape(-1)


def _late(wav: Array) -> Array:
    return np.concatenate([np.zeros(1234), _low_passed(wav)])


def _interrupted(wav: Array) -> Array:
    half = len(wav) // 2
    return np.concatenate([wav[:half], np.zeros(half // 4), wav[half:]])


# By the package visqol-python 3.8.0, its `upper_envelope` replaced by what google/visqol computes, with the exponential
# fit in speech mode and the model evaluated apart from libsvm.
GOLDENS = [
    ("audio", 48_000, _low_passed, 2.9986505664924206),
    ("audio", 48_000, _noisy, 1.1274152938320388),
    ("audio", 48_000, _coarse, 1.8262916920289154),
    ("audio", 48_000, _late, 2.9986505664924206),
    ("audio", 48_000, _interrupted, 4.628005638683584),
    ("speech", 16_000, _low_passed, 3.601923817318665),
    ("speech", 16_000, _noisy, 3.6819937858495084),
    ("speech", 16_000, _coarse, 3.8085068537224225),
    ("speech", 16_000, _late, 3.601923817318665),
    ("speech", 16_000, _interrupted, 4.8074218414732135),
    ("speech", 48_000, _low_passed, 4.064984235202991),
    ("speech", 48_000, _noisy, 3.7085754444069003),
    ("speech", 48_000, _coarse, 3.9473214286938547),
    ("speech", 48_000, _interrupted, 4.744042063301418),
]


@pytest.mark.parametrize(("mode", "rate_hz", "degrade", "expected"), GOLDENS)
def test_equals_an_independent_implementation(
    music: Array,
    speech: Array,
    mode: Mode,
    rate_hz: int,
    degrade: Callable[[Array], Array],
    expected: float,
) -> None:
    reference = music if rate_hz == 48_000 else speech
    # The clip at 16 kHz was resampled, by arithmetic that differs in the last bits from machine to machine.
    assert visqol(reference, degrade(reference), rate_hz, mode) == pytest.approx(expected, abs=1e-6)


def test_conformance_of_google_visqol(repository: Path) -> None:
    """Every case of a folder with `cases.csv` (mode, reference, degraded, expected) and the recordings it names."""
    folder = Path(os.environ.get("ENCODEC_VISQOL_CASES", repository.parent / "shared/visqol"))
    if not (folder / "cases.csv").is_file():
        pytest.skip(f"google/visqol's conformance cases are not in {folder}: set ENCODEC_VISQOL_CASES")
    with open(folder / "cases.csv", newline="", encoding="utf-8") as file:
        cases = list(csv.DictReader(file))
    assert cases
    for case in cases:
        (reference, rate_hz), (degraded, same_hz) = (
            soundfile.read(folder / case[which], always_2d=True) for which in ("reference", "degraded")
        )
        assert rate_hz == same_hz
        score = visqol(reference.T, degraded.T, rate_hz, case["mode"])  # type: ignore[arg-type]
        assert score == pytest.approx(float(case["expected"]), abs=1e-4), case


def test_equal_signals(music: Array, speech: Array) -> None:
    assert visqol(music, music, 48_000) == pytest.approx(IDENTICAL_AUDIO, abs=1e-6)
    assert visqol(speech, speech, 16_000, "speech") == pytest.approx(5, abs=1e-3)


def test_falls_with_noise(music: Array, speech: Array) -> None:
    for reference, rate_hz, mode in ((music, 48_000, "audio"), (speech, 16_000, "speech")):
        scores = [
            visqol(reference, _noisy(reference, amount), rate_hz, mode) for amount in (0, 3e-5, 1e-3, 0.1)
        ]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] - scores[-1] > 1


def test_level_and_delay_do_not_count(music: Array) -> None:
    degraded = _low_passed(music)
    score = visqol(music, degraded, 48_000)
    assert visqol(music, 0.3 * degraded, 48_000) == pytest.approx(score, abs=1e-9)
    assert visqol(music, np.concatenate([np.zeros(5000), degraded]), 48_000) == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("num_cut", [1, 30_000, 90_000])
def test_other_lengths(music: Array, num_cut: int) -> None:
    assert visqol(music, music[:-num_cut], 48_000) > 1.5
    assert visqol(music[:-num_cut], music, 48_000) > 4


def test_mono_mix_of_any_channels(music: Array) -> None:
    degraded = _low_passed(music)
    score = visqol(music, degraded, 48_000)
    spread = np.array([[1.4], [0.6]])
    assert visqol(spread * music, spread * degraded, 48_000) == pytest.approx(score, abs=1e-9)
    assert visqol(spread * music, degraded, 48_000) == pytest.approx(score, abs=1e-9)
    tensors = torch.from_numpy(music)[None], torch.from_numpy(degraded)
    assert visqol(*tensors, 48_000) == pytest.approx(score, abs=1e-9)


def test_resampled_to_48_khz_or_16_khz(speech: Array) -> None:
    wav = torch.from_numpy(speech)[:32_000]
    at_24_khz = resample(wav, 16_000, 24_000)
    degraded_24_khz = torch.from_numpy(_low_passed(at_24_khz.numpy()))
    pair = at_24_khz, degraded_24_khz
    for mode, rate_hz in (("audio", 48_000), ("speech", 16_000)):
        by_hand = [resample(one, 24_000, rate_hz) for one in pair]
        assert visqol(*pair, 24_000, mode) == visqol(by_hand[0], by_hand[1], rate_hz, mode)


def test_ten_seconds_take_less_than_three(music: Array) -> None:
    reference = np.tile(music, 4)[:480_000]
    degraded = _low_passed(reference)
    visqol(reference[:48_000], degraded[:48_000], 48_000)  # the filters are made once
    begun = time.process_time()
    visqol(reference, degraded, 48_000)
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    ("reference_gain", "degraded_gain", "reason"),
    [(0, 1, "silence: the mono mix of the reference"), (1, 0, "silence: the mono mix of the degraded")],
)
def test_silence(music: Array, reference_gain: float, degraded_gain: float, reason: str) -> None:
    with pytest.raises(NotScored, match=reason):
        visqol(reference_gain * music, degraded_gain * music, 48_000)


def test_silence_inside_is_scored(music: Array) -> None:
    gap = music.copy()
    gap[50_000:90_000] = 0
    assert 1 < visqol(music, gap, 48_000) < 4.6
    assert visqol(gap, gap, 48_000) == pytest.approx(IDENTICAL_AUDIO, abs=1e-6)


def test_too_short(music: Array, speech: Array) -> None:
    assert visqol(music[:46_080], music[:46_080], 48_000) == pytest.approx(IDENTICAL_AUDIO, abs=1e-6)
    assert visqol(speech[:10_240], speech[:10_240], 16_000, "speech") > 4.9
    for first, second in ((46_079, 144_000), (144_000, 46_079)):
        with pytest.raises(NotScored, match=r"too short: 0\.960 s of audio, at least 0\.96 s"):
            visqol(music[:first], music[:second], 48_000)
    with pytest.raises(NotScored, match=r"too short: 0\.640 s of audio, at least 0\.64 s"):
        visqol(speech[:10_239], speech[:10_239], 16_000, "speech")


def test_too_little_left_of_the_degraded_signal(music: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    burst = music[8_000:9_440]
    late = np.concatenate([np.zeros(48_000 - len(burst)), burst])
    with pytest.raises(NotScored, match=r"too short: 0\.0\d\d s are left"):
        visqol(np.concatenate([burst, np.zeros(144_000)]), late, 48_000)
    score = sys.modules["encodec_lab.metrics.visqol.score"]
    monkeypatch.setattr(score, "shift_to_match", lambda *pair: (np.zeros(48_000), -96_000))
    with pytest.raises(NotScored, match=r"silence: shifted by -2\.000 s"):
        visqol(music, music, 48_000)


def test_not_finite_and_other_modes(music: Array) -> None:
    with pytest.raises(NotScored, match="not finite"):
        visqol(music, np.full_like(music, np.nan), 48_000)
    with pytest.raises(ValueError, match="'audio' or 'speech', got 'music'") as error:
        visqol(music, music, 48_000, "music")  # type: ignore[arg-type]
    assert not isinstance(error.value, NotScored)
