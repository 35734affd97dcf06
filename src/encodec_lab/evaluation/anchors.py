"""The low-pass anchors of listening tests: audio whose loss is known, to measure systems against."""

import math

import torch
from torch import Tensor

from encodec_lab.evaluation.transmission import System, Transmitted

# ITU-R BS.1534: at most 0.1 dB of ripple up to the cut-off, 25 dB of attenuation 0.5 kHz above it, 50 dB at 1 kHz.
_CUTOFFS_HZ = (3500, 7000)
_TRANSITION_HZ = 500
_ATTENUATION_DB = 60.0


class LowPassAnchor:
    """A low-pass filter of linear phase, its delay removed; sends nothing, so it has no bandwidth in kbps."""

    bandwidths: tuple[None] = (None,)

    def __init__(self, cutoff_hz: int) -> None:
        self.cutoff_hz = cutoff_hz
        self.name = f"low-pass {cutoff_hz / 1000:g} kHz"
        self.identity = f"{cutoff_hz} Hz, {_TRANSITION_HZ} Hz, {_ATTENUATION_DB} dB"

    def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
        """As `System.transmit`, with None for the bandwidth."""
        return Transmitted(self.name, None, None, low_pass(wav, sample_rate_hz, self.cutoff_hz))


def anchors_for(sample_rate_hz: int) -> list[System]:
    """The anchors that take something away from audio of this rate."""
    return [
        LowPassAnchor(cutoff_hz)
        for cutoff_hz in _CUTOFFS_HZ
        if cutoff_hz + _TRANSITION_HZ < sample_rate_hz / 2
    ]


def low_pass(wav: Tensor, sample_rate_hz: int, cutoff_hz: float) -> Tensor:
    """[..., T] through a Kaiser-windowed sinc that passes up to `cutoff_hz`, and nothing 500 Hz above it."""
    transition = 2 * math.pi * _TRANSITION_HZ / sample_rate_hz
    # Kaiser's formulas for the length and the shape of the window (Oppenheim & Schafer, section 7.5.3).
    half = math.ceil((_ATTENUATION_DB - 8) / (2.285 * transition) / 2)
    beta = 0.1102 * (_ATTENUATION_DB - 8.7)
    middle = 2 * (cutoff_hz + _TRANSITION_HZ / 2) / sample_rate_hz
    taps = torch.arange(-half, half + 1, dtype=torch.float64)
    window = torch.kaiser_window(2 * half + 1, periodic=False, beta=beta, dtype=torch.float64)
    kernel = middle * torch.sinc(middle * taps) * window
    size = wav.shape[-1] + 2 * half
    spectrum = torch.fft.rfft(wav.double(), size) * torch.fft.rfft(kernel / kernel.sum(), size)
    filtered: Tensor = torch.fft.irfft(spectrum, size)
    return filtered[..., half : half + wav.shape[-1]].to(wav.dtype)
