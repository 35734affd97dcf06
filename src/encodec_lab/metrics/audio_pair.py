"""The checks that every metric makes of its two signals before it computes anything."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.metrics.not_scored import NotScored

Audio = NDArray[np.floating] | Tensor
Metric = Callable[[Audio, Audio, int], float]

# Root mean square below which a signal is silence: -160 dBFS, far under the last bit of 24-bit audio.
SILENCE_RMS = 1e-8


def checked_pair(
    reference: Audio, degraded: Audio, sample_rate_hz: int, same_shape: bool = True
) -> tuple[Tensor, Tensor]:
    """Both signals as [C, T] float64 on the CPU; `NotScored` unless finite, `[T]` or `[C, T]`, and `same_shape`."""
    if isinstance(sample_rate_hz, bool) or not (sample_rate_hz > 0 and sample_rate_hz % 1 == 0):
        raise NotScored(f"the sample rate must be a positive whole number of Hz, got {sample_rate_hz!r}")
    first, second = _as_channels(reference, "reference"), _as_channels(degraded, "degraded")
    if same_shape and first.shape[0] != second.shape[0]:
        raise NotScored(
            f"unequal channels: the reference has {first.shape[0]}, the degraded {second.shape[0]}"
        )
    if same_shape and first.shape[1] != second.shape[1]:
        raise NotScored(
            f"unequal lengths: the reference has {first.shape[1]} samples, the degraded {second.shape[1]}"
        )
    return first, second


def mono_pair(
    reference: Audio, degraded: Audio, sample_rate_hz: int, least_s: float, same_shape: bool = True
) -> tuple[Tensor, Tensor]:
    """The mean over channels of both signals, [T] float64; `NotScored` if silent or shorter than `least_s`."""
    first, second = checked_pair(reference, degraded, sample_rate_hz, same_shape)
    duration_s = min(first.shape[1], second.shape[1]) / sample_rate_hz
    if duration_s < least_s:
        raise NotScored(f"too short: {duration_s:.3f} s of audio, at least {least_s} s are needed")
    mixes = first.mean(dim=0), second.mean(dim=0)
    for mix, which in zip(mixes, ("reference", "degraded"), strict=True):
        if is_silent(mix):
            raise NotScored(f"silence: the mono mix of the {which} signal has no energy")
    return mixes


def is_silent(wav: Tensor) -> bool:
    """Whether the root mean square of `wav` [T], its mean removed, is below `SILENCE_RMS`."""
    return wav.numel() == 0 or float((wav - wav.mean()).square().mean().sqrt()) < SILENCE_RMS


def _as_channels(audio: Audio, which: str) -> Tensor:
    """[T] or [C, T] to [C, T] float64."""
    # A copy: torch warns of arrays that are read-only, and refuses negative strides.
    wav = audio.detach().cpu() if isinstance(audio, Tensor) else torch.from_numpy(np.array(audio))
    if not wav.is_floating_point():
        raise NotScored(
            f"the {which} signal is of type {wav.dtype}; floating-point samples in [-1, 1] are needed"
        )
    if wav.dim() not in (1, 2):
        raise NotScored(f"the {which} signal has shape {tuple(wav.shape)}; [T] or [C, T] is needed")
    if wav.numel() == 0:
        raise NotScored(f"too short: the {which} signal is empty")
    wav = wav.to(torch.float64).reshape(-1, wav.shape[-1])
    if not bool(torch.isfinite(wav).all()):
        raise NotScored(f"the {which} signal holds values that are not finite")
    return wav
