"""The delay between two signals, from the correlation of their envelopes."""

import numpy as np

from encodec_lab.metrics.visqol.signal import Signal


def shift_to_match(reference: Signal, degraded: Signal) -> tuple[Signal, int]:
    """`degraded` [T] delayed (by zeros) or advanced (by a cut) to match, and the delay in samples.

    A delay of more than half of the reference is taken for none.
    """
    delay = _delay_between(envelope_of(reference), envelope_of(degraded))
    if abs(delay) > len(reference) / 2:
        delay = 0
    if delay < 0:
        return degraded[-delay:], delay
    return np.concatenate([np.zeros(delay), degraded]), delay


def shift_and_trim(reference: Signal, degraded: Signal, sample_rate_hz: int) -> tuple[Signal, Signal]:
    """The parts of both signals that overlap once `degraded` is shifted, of one length."""
    shifted, delay = shift_to_match(reference, degraded)
    # Google's code holds the delay in seconds, and loses a sample when it turns some of them back.
    num_added = max(0, int(delay / sample_rate_hz * sample_rate_hz))
    if len(reference) < len(shifted):
        return reference[num_added:], shifted[num_added : len(reference)]
    return reference[: len(shifted)], shifted


def envelope_of(wav: Signal) -> Signal:
    """What google/visqol takes for the Hilbert envelope, [T].

    It pads to a power of two, doubles all bins between zero and the Nyquist frequency, drops the last (or, if nothing
    was padded, leaves it), and turns back by a *real* inverse transform. That is no analytic signal but twice the wave
    itself, less its alternating part; published scores rest on it.
    """
    mean = wav.mean()
    centred = wav - mean
    num_points = max(32, _power_of_two_from(len(wav)))
    alternation = np.ones(len(wav))
    alternation[1::2] = -1
    alternating = float(centred @ alternation) / num_points
    share_dropped = 1 if num_points == len(wav) else 2
    envelope: Signal = np.abs(2 * centred - share_dropped * alternating * alternation) + mean
    return envelope


def _delay_between(reference: Signal, degraded: Signal) -> int:
    """The lag at which two signals correlate most, the lowest of several; negative if `degraded` comes late."""
    longest = max(len(reference), len(degraded))
    num_points = _power_of_two_from(2 * longest)
    product = np.fft.rfft(reference, num_points) * np.fft.rfft(degraded, num_points).conj()
    correlation = np.fft.irfft(product, num_points)
    by_lag = np.concatenate([correlation[num_points - longest + 1 :], correlation[:longest]])
    return int(np.argmax(by_lag)) - (longest - 1)


def _power_of_two_from(least: int) -> int:
    return 1 << (least - 1).bit_length()
