"""The anchors' filters: what passes, what is stopped, and no delay."""

import math

import pytest
import torch

from encodec_lab.evaluation.anchors import anchors_for, low_pass


def _gain_db(frequency_hz: float, sample_rate_hz: int, cutoff_hz: float) -> float:
    time_s = torch.arange(sample_rate_hz, dtype=torch.float64) / sample_rate_hz
    tone = torch.sin(2 * math.pi * frequency_hz * time_s)
    middle = slice(sample_rate_hz // 4, -sample_rate_hz // 4)
    passed = low_pass(tone, sample_rate_hz, cutoff_hz)[middle]
    # Against the tone itself, so that a delay would show as a loss.
    in_phase = float((passed * tone[middle]).sum() / tone[middle].square().sum())
    left = float((passed - in_phase * tone[middle]).square().mean().sqrt())
    assert left < 1e-3, "the tone is delayed or distorted"
    return 20 * math.log10(max(abs(in_phase), 1e-9))


@pytest.mark.parametrize("sample_rate_hz", [24_000, 48_000])
@pytest.mark.parametrize("cutoff_hz", [3500, 7000])
def test_response_is_within_the_recommendation(sample_rate_hz: int, cutoff_hz: float) -> None:
    for frequency_hz in (100, 0.5 * cutoff_hz, 0.9 * cutoff_hz, cutoff_hz):
        assert abs(_gain_db(frequency_hz, sample_rate_hz, cutoff_hz)) < 0.1
    assert _gain_db(cutoff_hz + 500, sample_rate_hz, cutoff_hz) < -25
    for frequency_hz in (cutoff_hz + 1000, cutoff_hz + 3000):
        assert _gain_db(frequency_hz, sample_rate_hz, cutoff_hz) < -50


@pytest.mark.parametrize("num_samples", [1, 100, 5_000])
def test_length_and_type_stay(num_samples: int) -> None:
    wav = torch.randn(2, num_samples)
    for anchor in anchors_for(24_000):
        sent = anchor.transmit(wav, 24_000, None)
        assert (sent.wav.shape, sent.wav.dtype) == (wav.shape, torch.float32)
        assert (sent.system, sent.bandwidth_kbps, sent.true_kbps) == (anchor.name, None, None)


def test_only_what_takes_something_away() -> None:
    assert [anchor.name for anchor in anchors_for(24_000)] == ["low-pass 3.5 kHz", "low-pass 7 kHz"]
    assert [anchor.name for anchor in anchors_for(12_000)] == ["low-pass 3.5 kHz"]
