"""The stages of ViSQOL, each against a plain computation of the same."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from encodec_lab.metrics.visqol.alignment import envelope_of, shift_and_trim, shift_to_match
from encodec_lab.metrics.visqol.gammatone import comparable_levels, gammatone_bank, spectrogram
from encodec_lab.metrics.visqol.neurogram import measured, similarity
from encodec_lab.metrics.visqol.patch_matching import cut_frames, match_patches
from encodec_lab.metrics.visqol.patches import even_patch_starts, voiced_patch_starts
from encodec_lab.metrics.visqol.quality import audio_quality, speech_quality

Array = NDArray[np.float64]


def _noise(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


def _filtered_levels(wav: Array, rate_hz: int, num_bands: int, highest_hz: float) -> Array:
    """The spectrogram with real filters: Slaney's four sections for each band, started at rest in each frame."""
    signal = pytest.importorskip("scipy.signal", reason="scipy is not installed")
    num_samples = round(0.08 * rate_hz)
    hann = signal.windows.hann(num_samples, sym=True)
    corner_hz = 9.26449 * 24.7
    levels = []
    for index in range(num_bands, 0, -1):
        step = (np.log(50 + corner_hz) - np.log(highest_hz + corner_hz)) / num_bands
        centre_hz = np.exp(index * step) * (highest_hz + corner_hz) - corner_hz
        decay = np.exp(-2 * np.pi * 1.019 * (centre_hz / 9.26449 + 24.7) / rate_hz)
        angle = 2 * np.pi * centre_hz / rate_hz
        sections = [
            [1, -decay * (np.cos(angle) + root * np.sin(angle)), 0, 1, -2 * decay * np.cos(angle), decay**2]
            for root in np.sqrt([3 + 2**1.5, 3 - 2**1.5]) * [[1], [-1]]
            for root in root
        ]
        gain = np.abs(signal.freqz_sos(sections, worN=[angle])[1][0])
        frames = np.lib.stride_tricks.sliding_window_view(wav, num_samples)[:: num_samples // 4] * hann
        outputs = signal.sosfilt(sections, frames, axis=-1) / gain
        levels.append(np.sqrt(np.square(outputs).mean(axis=1)))
    return np.array(levels).T


@pytest.mark.parametrize(
    ("rate_hz", "num_bands", "highest_hz"), [(48_000, 32, 24_000), (48_000, 21, 8_000), (16_000, 21, 8_000)]
)
def test_spectrogram_equals_that_of_real_filters(rate_hz: int, num_bands: int, highest_hz: float) -> None:
    num_samples = round(0.08 * rate_hz)
    wav = 0.1 * _noise(num_samples * 2)
    # Clicks near the ends of frames, most of the answer to which is still to come.
    wav[num_samples // 4 :] = 0
    wav[num_samples - 40] = 1
    expected = _filtered_levels(wav, rate_hz, num_bands, highest_hz)
    levels = spectrogram(wav, gammatone_bank(rate_hz, num_bands, highest_hz))
    assert levels.shape == (5, num_bands)
    np.testing.assert_allclose(levels, expected, rtol=1e-7, atol=1e-10)


def test_silence_has_no_level() -> None:
    bank = gammatone_bank(16_000, 21, 8_000)
    assert (spectrogram(np.zeros(4_000), bank) == 0).all()


def test_many_frames_equal_few() -> None:
    bank = gammatone_bank(16_000, 21, 8_000)
    wav = _noise(16_000 * 7)
    whole = spectrogram(wav, bank)
    assert len(whole) == 1 + (len(wav) - 1280) // 320 > 300
    np.testing.assert_allclose(whole[290:], spectrogram(wav[290 * 320 :], bank), rtol=1e-9)


def test_levels_stay_within_their_range() -> None:
    reference = np.array([[1.0, 1e-9, 1e-3], [1e-9, 0.0, 1e-9], [100.0, 1.0, 1e-9]])
    degraded = np.array([[10.0, 1e-9, 1e-3], [1e-9, 1e-2, 1e-9]])
    first, second = comparable_levels(reference, degraded)
    # Frames: 45 dB below 10 dB; the absolute floor of -45 dB; and no partner, so no relative floor.
    np.testing.assert_allclose(first, [[45, 10, 15], [0, 0, 0], [65, 45, 0]], atol=1e-12)
    np.testing.assert_allclose(second, [[55, 10, 15], [0, 25, 0]], atol=1e-12)


def test_similarity_equals_the_formula() -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")
    reference, degraded = 40 + 10 * _noise(2, 12, 7)
    corner, edge, centre = 0.0113033910173052, 0.0838251475442633, 0.619485845753726
    window = np.array([[corner, edge, corner], [edge, centre, edge], [corner, edge, corner]])
    moments = {
        name: ndimage.correlate(value, window, mode="nearest")
        for name, value in {
            "r": reference,
            "d": degraded,
            "rr": reference**2,
            "dd": degraded**2,
            "rd": reference * degraded,
        }.items()
    }
    r, d = moments["r"], moments["d"]
    intensity = (2 * r * d + 1e-4) / (r**2 + d**2 + 1e-4)
    variances = (moments["rr"] - r**2) * (moments["dd"] - d**2)
    expected = intensity * (moments["rd"] - r * d + 4.5e-4) / (np.sqrt(variances) + 4.5e-4)
    np.testing.assert_allclose(similarity(measured(reference), measured(degraded)), expected, rtol=1e-9)


def test_similarity_of_constant_patches() -> None:
    flat = measured(np.full((4, 5), 33.3))
    assert similarity(flat, flat) == pytest.approx(1, abs=1e-6)
    assert (similarity(measured(np.zeros((4, 5))), measured(np.zeros((4, 5)))) == 1).all()


@pytest.mark.parametrize("delay", [-700, -1, 0, 1, 3, 900])
def test_delay_is_found(delay: int) -> None:
    wav = _noise(4_000)
    degraded = np.concatenate([np.zeros(max(0, -delay)), wav[max(0, delay) :]])
    shifted, found = shift_to_match(wav, degraded)
    assert found == delay
    num_common = min(len(wav), len(shifted))
    np.testing.assert_array_equal(shifted[max(0, delay) : num_common], wav[max(0, delay) : num_common])
    first, second = shift_and_trim(wav, degraded, 48_000)
    assert len(first) == len(second)
    np.testing.assert_array_equal(first[-1000:], second[-1000:])


@pytest.mark.parametrize("num_samples", [1000, 1001, 1024, 20])
def test_envelope_by_transforms(num_samples: int) -> None:
    """As google/visqol computes it: a padded transform, scaled, and a real inverse."""
    wav = 0.3 + _noise(num_samples)
    num_points = max(32, 1 << (num_samples - 1).bit_length())
    spectrum = np.fft.rfft(wav - wav.mean(), num_points)
    spectrum[1:-1] *= 2
    spectrum[-1] *= num_points == num_samples
    expected = np.abs(np.fft.irfft(spectrum, num_points)[:num_samples]) + wav.mean()
    np.testing.assert_allclose(envelope_of(wav), expected, rtol=1e-9, atol=1e-12)


def test_delay_passes_through_seconds() -> None:
    """Some delays lose a sample in google/visqol's arithmetic, which its scores contain."""
    wav = _noise(4_000)
    delay = next(delay for delay in range(1, 2_000) if int(delay / 48_000 * 48_000) == delay - 1)
    degraded = np.concatenate([wav[delay:], np.zeros(delay)])
    first, second = shift_and_trim(wav, degraded, 48_000)
    np.testing.assert_array_equal(first, wav[delay - 1 :])
    np.testing.assert_array_equal(second[1:], wav[delay:])
    assert second[0] == 0


def test_frames_cut_at_the_end() -> None:
    bank = gammatone_bank(16_000, 21, 8_000)
    wav = np.arange(1.0, 10_001)
    np.testing.assert_array_equal(cut_frames(wav, 4, 20, bank), wav[1280 : 1280 + 6400])
    # Without its last sample, and what lacks put before it: so google/visqol has it.
    expected = np.concatenate([np.zeros(13 * 320 + 6400 - 10_000), wav[13 * 320 : -1]])
    np.testing.assert_array_equal(cut_frames(wav, 13, 20, bank), expected)


def test_delay_of_more_than_half_is_none() -> None:
    wav = _noise(4_000)
    late = np.concatenate([np.zeros(2_100), wav[:1_900]])
    shifted, found = shift_to_match(wav, late)
    assert found == 0
    assert shifted is late or (shifted == late).all()


def test_matches_have_the_largest_sum_in_order() -> None:
    patches, degraded = _noise(3, 4, 5), _noise(9, 5)
    padded = np.concatenate([degraded, np.zeros((3, 5))])
    scores = np.array(
        [
            [similarity(measured(patch), measured(padded[offset : offset + 4])).mean() for offset in range(9)]
            for patch in patches
        ]
    )
    # All in order, or one or both of the later two left out.
    choices = [
        kept
        for kept in itertools.product(range(9), [None, *range(9)], [None, *range(9)])
        if all(a < b for a, b in itertools.pairwise([one for one in kept if one is not None]))
    ]
    best = max(
        choices,
        key=lambda kept: sum(scores[row, one] for row, one in enumerate(kept) if one is not None),
    )
    assert match_patches(patches, [1, 2, 3], degraded) == list(best)


def test_moved_and_lost_patches() -> None:
    levels = np.abs(_noise(200, 6)).cumsum(axis=0) % 40
    starts = [4, 14, 24, 34]
    patches = np.stack([levels[start : start + 10] for start in starts])
    moved = np.concatenate([levels[:20], np.full((7, 6), 20.0), levels[20:]])
    assert match_patches(patches, starts, moved)[2:] == [31, 41]
    # Of the last patches nothing comes: there is no later frame for them to match.
    assert match_patches(patches, starts, levels[24:25]) == [0, None, None, None]


def test_patches_of_the_reference() -> None:
    assert even_patch_starts(45, 30) == [14]
    assert even_patch_starts(46, 30) == [14]
    assert even_patch_starts(76, 30) == [14, 44]
    wav = np.zeros(16_000 * 3)
    wav[9 + 59 * 320 : 9 + 60 * 320] = 1  # frame 59, the last of the third patch
    num_frames = 1 + (len(wav) - 1280) // 320
    # The first two frames always count as voiced, and two frames after a voiced one.
    assert voiced_patch_starts(wav, num_frames, 20, 320) == [9, 49, 69]
    assert voiced_patch_starts(np.zeros(16_000), 47, 20, 320) == [9]


def test_quality() -> None:
    assert audio_quality(np.ones(32)) == pytest.approx(4.732101, abs=1e-6)
    assert speech_quality(np.ones(21)) == pytest.approx(5, abs=1e-4)
    # google/visqol's conformance test expects 4.015861 of the fit that is not scaled.
    assert speech_quality(np.ones(21)) / 1.245063 == pytest.approx(4.015861, abs=1e-4)
    assert speech_quality(np.zeros(21)) == 1
