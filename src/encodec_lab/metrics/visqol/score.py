"""The whole of ViSQOL: two signals to a score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from encodec_lab.metrics.audio_pair import Audio, is_silent, mono_pair
from encodec_lab.metrics.not_scored import NotScored
from encodec_lab.metrics.visqol.alignment import shift_to_match
from encodec_lab.metrics.visqol.gammatone import comparable_levels, gammatone_bank, spectrogram
from encodec_lab.metrics.visqol.patch_matching import match_patches, similarities_by_band
from encodec_lab.metrics.visqol.patches import even_patch_starts, voiced_patch_starts
from encodec_lab.metrics.visqol.quality import WORST, audio_quality, speech_quality
from encodec_lab.metrics.visqol.signal import Signal
from encodec_lab.modules.signal import resample

# Below this mean similarity the two signals are taken for different ones.
_LEAST_SIMILARITY = 0.15


@dataclass(frozen=True)
class _Mode:
    """What differs between the two modes.

    Attributes:
        rates_hz: that are scored as they are; any other is resampled to the first.
        num_bands: of the spectrogram.
        highest_hz: of its bands.
        patch_frames: length of a patch.
        by_voice: whether only patches with voice count.
        shortest_s: the least that holds a patch.
        quality: from the mean similarity in each band to the score.
    """

    rates_hz: tuple[int, ...]
    num_bands: int
    highest_hz: float
    patch_frames: int
    by_voice: bool
    shortest_s: float
    quality: Callable[[NDArray[np.float64]], float]


_MODES = {
    "audio": _Mode((48_000,), 32, 24_000, 30, False, 0.96, audio_quality),
    # google/visqol never resamples, and its own speech cases are at 48 kHz: at 16 kHz they score up to 0.09 otherwise.
    "speech": _Mode((16_000, 48_000), 21, 8_000, 20, True, 0.64, speech_quality),
}


def visqol(
    reference: Audio, degraded: Audio, sample_rate_hz: int, mode: Literal["audio", "speech"] = "audio"
) -> float:
    """MOS-LQO, from 1 to 4.73 (audio mode) or 5 (speech mode), of the mono mix of [T] or [C, T] signals.

    Resampled to 48 kHz in audio mode; to 16 kHz in speech mode, except from 48 kHz, which is scored as it is. The two
    may differ in length, delay and number of channels. Speech mode has the exponential fit, scaled, not the lattice.

    Raises:
        NotScored: silence, less than 0.96 s (audio) or 0.64 s (speech) of either, samples that are not finite, or a
            degraded signal of which too little or silence is left once it is shifted to match the reference.
        ValueError: another mode.
    """
    if mode not in _MODES:
        raise ValueError(f"the mode of ViSQOL is 'audio' or 'speech', got {mode!r}")
    chosen = _MODES[mode]
    mixes = mono_pair(reference, degraded, sample_rate_hz, chosen.shortest_s, same_shape=False)
    given_hz = int(sample_rate_hz)
    rate_hz = given_hz if given_hz in chosen.rates_hz else chosen.rates_hz[0]
    first, second = (resample(mix, given_hz, rate_hz).numpy() for mix in mixes)
    return _score(first, second, rate_hz, chosen)


def _score(reference: Signal, degraded: Signal, rate_hz: int, mode: _Mode) -> float:
    """Of two signals [T] at a rate of the mode."""
    bank = gammatone_bank(rate_hz, mode.num_bands, mode.highest_hz)
    degraded, delay = shift_to_match(reference, degraded)
    if len(degraded) <= len(bank.window):
        raise NotScored(f"too short: {len(degraded) / rate_hz:.3f} s are left once a delay is cut off")
    if is_silent(torch.from_numpy(degraded)):
        raise NotScored(f"silence: shifted by {delay / rate_hz:.3f} s, the degraded signal has no energy")
    degraded = degraded * np.sqrt(np.square(reference).mean() / np.square(degraded).mean())
    levels = comparable_levels(spectrogram(reference, bank), spectrogram(degraded, bank))
    num_frames = len(levels[0])
    if mode.by_voice:
        starts = voiced_patch_starts(reference, num_frames, mode.patch_frames, bank.hop_samples)
    else:
        starts = even_patch_starts(num_frames, mode.patch_frames)
    # A patch may begin up to half a patch after the degraded signal ends.
    starts = [start for start in starts if start - mode.patch_frames // 2 <= len(levels[1])]
    assert starts, "the first patch always has voice, and begins before half a patch"
    patches = np.stack([levels[0][start : start + mode.patch_frames] for start in starts])
    matches = match_patches(patches, starts, levels[1])
    by_band = similarities_by_band(reference, degraded, levels, starts, matches, mode.patch_frames, bank)
    similarities = by_band.mean(axis=0)
    return WORST if similarities.mean() < _LEAST_SIMILARITY else mode.quality(similarities)
