"""Spectrograms of a gammatone filterbank (Slaney 1993), without running a filter."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encodec_lab.metrics.visqol.signal import Signal, Spectrogram

WINDOW_S = 0.08
HOPS_IN_WINDOW = 4
LOWEST_HZ = 50.0
# Glasberg and Moore 1990.
_EAR_Q = 9.26449
_LEAST_BANDWIDTH_HZ = 24.7
_FILTER_ORDER = 4

_FLOOR_DB = -45.0
_RANGE_DB = 45.0

# An impulse response is reckoned as one period of this many samples, long after the slowest has died away.
_PERIOD_SAMPLES = 1 << 15
_FRAMES_AT_ONCE = 256


@dataclass(frozen=True)
class GammatoneBank:
    """What gives the energy in each band of a windowed frame `x`, filtered from rest, while the frame lasts.

    The energy of the whole response to `x` weighs the power spectrum of `x`. What of it comes after the frame, the
    free decay of a filter of eight states, lies in a space of eight dimensions: its energy is that of eight
    projections of `x`. The difference is exact, and costs two matrix products for all bands and frames.

    Attributes:
        sample_rate_hz: of what it filters.
        hop_samples: from one frame to the next.
        window: Hann, [N].
        num_fft_points: of the power spectrum; at least 2 N - 1, so that its autocorrelation does not wrap.
        power_weights: [num_fft_points // 2 + 1, F].
        decay_projections: [N, F * 8].
    """

    sample_rate_hz: int
    hop_samples: int
    window: Signal
    num_fft_points: int
    power_weights: NDArray[np.float64]
    decay_projections: NDArray[np.float64]


@functools.lru_cache(maxsize=4)
def gammatone_bank(sample_rate_hz: int, num_bands: int, highest_hz: float) -> GammatoneBank:
    """`num_bands` filters from 50 Hz to below `highest_hz`, evenly by equivalent rectangular bandwidth."""
    num_samples = round(WINDOW_S * sample_rate_hz)  # N
    corner_hz = _EAR_Q * _LEAST_BANDWIDTH_HZ
    steps = np.arange(num_bands) / num_bands
    centres_hz = (LOWEST_HZ + corner_hz) ** (1 - steps) * (highest_hz + corner_hz) ** steps - corner_hz
    bandwidths_hz = 1.019 * (centres_hz / _EAR_Q + _LEAST_BANDWIDTH_HZ)
    decays = 2 * np.pi * bandwidths_hz / sample_rate_hz  # of the envelope, each sample
    angles = 2 * np.pi * centres_hz / sample_rate_hz

    frequencies = np.exp(-2j * np.pi * np.arange(_PERIOD_SAMPLES // 2 + 1) / _PERIOD_SAMPLES)
    responses = _frequency_responses(decays[:, None], angles[:, None], frequencies)  # [F, bins]
    responses /= np.abs(_frequency_responses(decays, angles, np.exp(-1j * angles)))[:, None]

    num_fft_points = 2 * num_samples
    autocorrelations = np.fft.irfft(np.abs(responses) ** 2, _PERIOD_SAMPLES)[:, :num_samples]
    weights = 2 * np.fft.rfft(autocorrelations, num_fft_points).real - autocorrelations[:, :1]
    weights *= 2 / num_fft_points
    weights[:, [0, -1]] /= 2

    # The decay after the frame, d[m] = sum_n h[N + m - n] x[n], in an orthonormal basis q: sum_m q[m] d[m] is the
    # product of x[n] and the correlation of q and h at N - n.
    basis = _decay_basis(decays, angles, _PERIOD_SAMPLES // 2)  # [F, 8, M]
    products = np.fft.rfft(basis, _PERIOD_SAMPLES).conj() * responses[:, None]
    projections = np.fft.irfft(products, _PERIOD_SAMPLES)[..., num_samples:0:-1]  # [F, 8, N]

    phases = 2 * np.pi * np.arange(num_samples) / (num_samples - 1)
    return GammatoneBank(
        sample_rate_hz=sample_rate_hz,
        hop_samples=num_samples // HOPS_IN_WINDOW,
        window=0.5 - 0.5 * np.cos(phases),
        num_fft_points=num_fft_points,
        power_weights=np.ascontiguousarray(weights.T),
        decay_projections=np.ascontiguousarray(projections.reshape(-1, num_samples).T),
    )


def spectrogram(wav: Signal, bank: GammatoneBank) -> Spectrogram:
    """Root mean square of each band over each frame of `wav` [T], [S, F]; T must be at least one frame."""
    num_samples = len(bank.window)
    frames = np.lib.stride_tricks.sliding_window_view(wav, num_samples)[:: bank.hop_samples]  # [S, N]
    num_bands = bank.power_weights.shape[1]
    energies = np.empty((len(frames), num_bands))
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        windowed = frames[start : start + _FRAMES_AT_ONCE] * bank.window
        spectra = np.fft.rfft(windowed, bank.num_fft_points)
        power = spectra.real**2 + spectra.imag**2
        decayed = (windowed @ bank.decay_projections).reshape(len(windowed), num_bands, -1)
        energies[start : start + len(windowed)] = power @ bank.power_weights - np.square(decayed).sum(axis=-1)
    # Rounding leaves an empty band a little below zero.
    level: Spectrogram = np.sqrt(np.maximum(energies, 0) / num_samples)
    return level


def comparable_levels(reference: Spectrogram, degraded: Spectrogram) -> tuple[Spectrogram, Spectrogram]:
    """Both in dB above a common floor: 45 dB below 1, and 45 dB below the louder of the two in every frame."""
    tiny = np.finfo(np.float64).tiny
    first, second = (
        np.maximum(10 * np.log10(np.maximum(levels, tiny)), _FLOOR_DB) for levels in (reference, degraded)
    )
    num_common = min(len(first), len(second))
    peaks = np.maximum(first[:num_common].max(axis=1), second[:num_common].max(axis=1))[:, None]
    for levels in (first, second):
        np.maximum(levels[:num_common], peaks - _RANGE_DB, out=levels[:num_common])
    floor = min(first.min(), second.min())
    return first - floor, second - floor


def _frequency_responses(
    decays: NDArray[np.float64], angles: NDArray[np.float64], delays: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    """Of Slaney's gammatone filters, up to a gain, at `delays` = 1 / z: four zeros, and a pole pair four times."""
    radii = np.exp(-decays)
    response = (1 - 2 * radii * np.cos(angles) * delays + radii**2 * delays**2) ** -_FILTER_ORDER
    for root in (np.sqrt(3 + 2**1.5), np.sqrt(3 - 2**1.5)):
        for sign in (1, -1):
            response *= 1 - radii * (np.cos(angles) + sign * root * np.sin(angles)) * delays
    result: NDArray[np.complex128] = response
    return result


def _decay_basis(
    decays: NDArray[np.float64], angles: NDArray[np.float64], num_samples: int
) -> NDArray[np.float64]:
    """Orthonormal, of all that the filters can do when left alone: [F, 8, num_samples]."""
    times = np.arange(num_samples)
    scaled = decays[:, None] * times  # [F, M]
    poles = np.exp(-scaled + 1j * angles[:, None] * times)
    modes = np.stack([scaled**power * poles for power in range(_FILTER_ORDER)], axis=-1)  # [F, M, 4]
    basis, _ = np.linalg.qr(np.concatenate([modes.real, modes.imag], axis=-1))
    result: NDArray[np.float64] = basis.swapaxes(1, 2)
    return result
