"""Short-time objective intelligibility by the `pystoi` package."""

import importlib.util
import math
import warnings

from encodec_lab.metrics.audio_pair import Audio, mono_pair
from encodec_lab.metrics.not_scored import NotScored

# STOI correlates 30 frames of 256 samples at 10 kHz, half overlapping: 384 ms after silent frames are removed.
SHORTEST_S = 0.4


def stoi(reference: Audio, degraded: Audio, sample_rate_hz: int) -> float:
    """STOI (about 0 to 1) of the mono mix of [T] or [C, T] signals (Taal et al. 2011, not the extended measure).

    Raises:
        NotScored: silence, less than 0.4 s of signal that is not silence, unequal shapes, samples that are not
            finite, or the package missing.
    """
    clean, processed = mono_pair(reference, degraded, sample_rate_hz, SHORTEST_S)
    if importlib.util.find_spec("pystoi") is None:
        raise NotScored("the package pystoi is not installed: pip install pystoi")
    from pystoi import stoi as pystoi_stoi

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            score = float(pystoi_stoi(clean.numpy(), processed.numpy(), int(sample_rate_hz), extended=False))
        except RuntimeWarning as warning:
            raise NotScored(
                "too short: under 0.4 s remain once STOI has removed the silent frames"
            ) from warning
    if not math.isfinite(score):
        raise NotScored(f"STOI returned {score}")
    return score
