"""Multi-scale mel distance as Codec-SUPERB defines it."""

import functools
import warnings

import torch
from torch import Tensor

from encodec_lab.metrics.audio_pair import Audio, checked_pair
from encodec_lab.metrics.not_scored import NotScored
from encodec_lab.modules.signal import mel_filterbank

# (window length in samples, number of mels) of each scale.
SCALES = ((2048, 150), (512, 80))
FLOOR = 1e-5


def mel_distance(reference: Audio, degraded: Audio, sample_rate_hz: int) -> float:
    """Mel distance (0 for equal signals) of [T] or [C, T] signals, averaged over channels; silence is scored too.

    For windows of 2,048 samples (150 mels) and 512 (80 mels): `mean |d log10(max(mel, 1e-5)^2)| + mean |d mel|`, the
    two summed. Magnitude spectra with a Hann window, hop = window / 4, centred; Slaney mel filters from 0 Hz to
    Nyquist (Codec-SUPERB, arXiv 2402.13071, after audiotools' `MelSpectrogramLoss`).

    Raises:
        NotScored: fewer than 1,025 samples, unequal shapes, samples that are not finite.
    """
    first, second = checked_pair(reference, degraded, sample_rate_hz)
    shortest = max(window for window, _ in SCALES) // 2 + 1
    if first.shape[1] < shortest:
        raise NotScored(f"too short: {first.shape[1]} samples, at least {shortest} are needed")
    distance = 0.0
    for window_length, num_mels in SCALES:
        filters = _filters(window_length, num_mels, int(sample_rate_hz))
        mels = [_magnitudes(wav, window_length).mT @ filters for wav in (first, second)]  # [C, S, M]
        logs = [mel.clamp(min=FLOOR).square().log10() for mel in mels]
        distance += float((logs[0] - logs[1]).abs().mean() + (mels[0] - mels[1]).abs().mean())
    return distance


def _magnitudes(wav: Tensor, window_length: int) -> Tensor:
    """[C, T] to magnitude spectra [C, F, S]."""
    window = torch.hann_window(window_length, dtype=wav.dtype)
    spectra = torch.stft(
        wav, window_length, window_length // 4, window=window, center=True, return_complex=True
    )
    return spectra.abs()


@functools.lru_cache(maxsize=16)
def _filters(window_length: int, num_mels: int, sample_rate_hz: int) -> Tensor:
    """[F, M] float64."""
    with warnings.catch_warnings():
        # At 32 kHz and above the lowest of the 80 filters hold no bin; so the definition has it.
        warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
        return mel_filterbank(
            window_length // 2 + 1, num_mels, sample_rate_hz, norm="slaney", mel_scale="slaney"
        ).to(torch.float64)
