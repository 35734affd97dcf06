import numpy as np
import pytest
import torch

from encodec_lab.losses import CompressedSpectrumLoss


def _independent(
    real: np.ndarray, fake: np.ndarray, length: int, exponent: float, phase_weight: float
) -> float:
    """The formula in double precision, frame by frame, with NumPy's FFT."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    window /= np.sqrt((window**2).sum())
    magnitudes, phases = [], []
    padded = [np.pad(signal, length // 2, mode="reflect") for signal in (real, fake)]
    for start in range(0, len(padded[0]) - length + 1, length // 4):
        a, b = (np.fft.rfft(signal[start : start + length] * window) for signal in padded)
        small, large = np.sqrt(np.abs(a) ** 2 + 1e-5), np.sqrt(np.abs(b) ** 2 + 1e-5)
        magnitudes.append((small**exponent - large**exponent) ** 2)
        phases.append(np.abs(a * small ** (exponent - 1) - b * large ** (exponent - 1)) ** 2)
    return float((1 - phase_weight) * np.mean(magnitudes) + phase_weight * np.mean(phases))


@pytest.mark.parametrize(("exponent", "phase_weight"), [(0.3, 0.5), (1.0, 1.0), (0.5, 0.0)])
def test_formula(exponent: float, phase_weight: float) -> None:
    real, fake = torch.randn(2, 1, 1, 700, generator=torch.Generator().manual_seed(1)).unbind()
    loss = CompressedSpectrumLoss([64, 128], exponent, phase_weight)(real, fake)
    expected = sum(
        _independent(real[0, 0].double().numpy(), fake[0, 0].double().numpy(), n, exponent, phase_weight)
        for n in (64, 128)
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_weak_bands_count_almost_as_much_as_strong_ones() -> None:
    time_s = torch.arange(2400) / 24_000
    strong, weak = (torch.sin(2 * torch.pi * hz * time_s)[None, None] for hz in (400.0, 5000.0))
    real = strong + 0.01 * weak
    loss = CompressedSpectrumLoss([512])
    without_weak, without_strong = loss(real, strong), loss(real, 0.01 * weak)
    assert without_weak > without_strong / 40  # of the energy it is a ten-thousandth


def test_silence_has_a_finite_gradient() -> None:
    fake = torch.zeros(1, 1, 600, requires_grad=True)
    CompressedSpectrumLoss([128])(torch.randn(1, 1, 600), fake).backward()
    assert fake.grad is not None and bool(fake.grad.isfinite().all())


def test_items_are_averaged() -> None:
    real, fake = torch.randn(2, 3, 2, 600, generator=torch.Generator().manual_seed(2)).unbind()
    loss = CompressedSpectrumLoss([64])
    alone = [loss(real[item : item + 1], fake[item : item + 1]) for item in range(3)]
    torch.testing.assert_close(loss(real, fake), torch.stack(alone).mean())


def test_real_audio_is_a_constant_and_autocast_does_not_matter() -> None:
    real, fake = (torch.randn(1, 1, 600, requires_grad=True) for _ in range(2))
    loss = CompressedSpectrumLoss([64])
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = loss(real, fake)
    under_autocast.backward()
    assert real.grad is None
    assert under_autocast == loss(real, fake)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"window_lengths \[6\]"):
        CompressedSpectrumLoss([6])
    with pytest.raises(ValueError, match="exponent"):
        CompressedSpectrumLoss([8], exponent=0.0)
    with pytest.raises(ValueError, match="phase_weight"):
        CompressedSpectrumLoss([8], phase_weight=1.5)
    with pytest.raises(ValueError, match="power_floor"):
        CompressedSpectrumLoss([8], power_floor=0.0)
    with pytest.raises(ValueError, match="at least 33"):
        CompressedSpectrumLoss([64])(torch.zeros(1, 1, 32), torch.zeros(1, 1, 32))
    with pytest.raises(ValueError, match="one shape"):
        CompressedSpectrumLoss([8])(torch.zeros(1, 1, 32), torch.zeros(1, 32))
