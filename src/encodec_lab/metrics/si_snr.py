"""Scale-invariant signal-to-noise ratio."""

import math

import torch

from encodec_lab.metrics.audio_pair import Audio, checked_pair, is_silent
from encodec_lab.metrics.not_scored import NotScored


def si_snr(reference: Audio, degraded: Audio, sample_rate_hz: int) -> float:
    """SI-SNR in dB of [T] or [C, T] signals, the mean over channels; infinite for a degraded signal without error.

    With both means removed, `target = <degraded, reference> / <reference, reference> * reference` and the ratio is
    `10 log10(|target|^2 / |degraded - target|^2)` (Luo and Mesgarani 2018, arXiv 1711.00541, section 3.1).

    Raises:
        NotScored: a silent channel in either signal, unequal shapes, samples that are not finite.
    """
    references, degradeds = checked_pair(reference, degraded, sample_rate_hz)
    for channels, which in ((references, "reference"), (degradeds, "degraded")):
        for index, channel in enumerate(channels):
            if is_silent(channel):
                raise NotScored(f"silence: channel {index} of the {which} signal has no energy")
    references = references - references.mean(dim=1, keepdim=True)
    degradeds = degradeds - degradeds.mean(dim=1, keepdim=True)
    projections = (degradeds * references).sum(dim=1, keepdim=True) / references.square().sum(
        dim=1, keepdim=True
    )
    targets = projections * references
    target_energies = targets.square().sum(dim=1)
    error_energies = (degradeds - targets).square().sum(dim=1)
    mean_db = float((10 * torch.log10(target_energies / error_energies)).mean())
    if math.isnan(mean_db) or mean_db == -math.inf:
        raise NotScored("the degraded signal has nothing in common with the reference")
    return mean_db
