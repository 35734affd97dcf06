"""Resampling: its length and how far it hears."""

import pytest
import torch
import torchaudio.functional

from encodec_lab.modules import signal
from encodec_lab.modules.signal import resample, resampling_reach

RATES = [(44_100, 24_000), (24_000, 44_100), (48_000, 24_000), (8_000, 24_000), (192_000, 8_000)]


def test_length_is_exact_where_float32_is_not():
    # 44,100 to 24,000 Hz is 147 to 80. Of these lengths the exact one is 1/147 over a whole number.
    num_samples = next(length for length in range(2**22, 2**22 + 147) if length * 80 % 147 == 1)
    assert resample(torch.zeros(1, num_samples), 44_100, 24_000).shape[-1] == -(-num_samples * 80 // 147)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_reach_is_how_far_an_impulse_is_heard(from_hz, to_hz):
    impulse = torch.zeros(5_000, dtype=torch.float64)
    impulse[2_500] = 1.0
    loud = resample(impulse, from_hz, to_hz).abs() > 1e-12  # the window's ends are no exact zeros
    heard_at = loud.nonzero().squeeze(1) * from_hz / to_hz
    farthest = (heard_at - 2_500).abs().max()
    reach = resampling_reach(from_hz, to_hz)
    assert reach - 1 - from_hz / to_hz <= farthest <= reach


@pytest.mark.parametrize(("from_hz", "to_hz"), [*RATES, (44_100, 16_000), (181, 200), (32_000, 48_000)])
@pytest.mark.parametrize("num_samples", [1, 7, 1_000, 24_001])
def test_it_is_what_torchaudio_does(from_hz, to_hz, num_samples):
    wav = torch.randn(2, 3, num_samples, generator=torch.Generator().manual_seed(0))
    expected = torchaudio.functional.resample(wav, from_hz, to_hz)  # its defaults are the same
    torch.testing.assert_close(resample(wav, from_hz, to_hz), expected, rtol=0, atol=2e-6)


def test_gradients_and_other_types_pass():
    wav = torch.randn(1, 500, dtype=torch.float64, requires_grad=True)
    resample(wav, 44_100, 24_000).square().sum().backward()
    assert wav.grad is not None and wav.grad.dtype == torch.float64 and wav.grad.abs().min() > 0
    assert resample(torch.zeros(1, 0), 44_100, 24_000).shape == (1, 0)


def test_equal_rates_reach_nowhere():
    assert resampling_reach(24_000, 24_000) == 0


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_filters_without_a_table_are_the_same(monkeypatch, from_hz, to_hz):
    wav = torch.randn(2, 3_001, generator=torch.Generator().manual_seed(0))
    with_table = resample(wav, from_hz, to_hz)
    monkeypatch.setattr(signal, "_MAX_TABLE_TAPS", 0)
    monkeypatch.setattr(signal, "_TAPS_AT_A_TIME", 4_000)  # in several pieces
    torch.testing.assert_close(
        resample(wav, from_hz, to_hz), with_table, rtol=0, atol=5e-5
    )  # torchaudio's times are float32


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44_101, 24_000), (48_000, 44_099), (191_999, 8_000)])
def test_rates_without_a_common_divisor(from_hz, to_hz):
    def tone(rate_hz):
        return torch.sin(2 * torch.pi * 440 * torch.arange(rate_hz // 2, dtype=torch.float64) / rate_hz)

    resampled = resample(tone(from_hz), from_hz, to_hz)
    assert resampled.shape[-1] == -(-(from_hz // 2) * to_hz // from_hz)
    inside = slice(100, to_hz // 2 - 100)
    torch.testing.assert_close(resampled[inside], tone(to_hz)[inside], rtol=0, atol=2e-3)
