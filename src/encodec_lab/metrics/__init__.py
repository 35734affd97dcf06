"""How close a degraded signal is to its reference: each metric is `(reference, degraded, sample_rate_hz) -> float`."""

from encodec_lab.metrics.audio_pair import Audio, Metric
from encodec_lab.metrics.mel_distance import mel_distance
from encodec_lab.metrics.not_scored import NotScored
from encodec_lab.metrics.pesq import pesq
from encodec_lab.metrics.si_snr import si_snr
from encodec_lab.metrics.stoi import stoi
from encodec_lab.metrics.visqol import visqol

__all__ = ["Audio", "Metric", "NotScored", "mel_distance", "pesq", "si_snr", "stoi", "visqol"]
