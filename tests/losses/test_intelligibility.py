from pathlib import Path

import pytest
import soundfile
import torch
from pystoi import stoi

from encodec_lab.losses import IntelligibilityLoss


def _modulated_noise(num_samples: int, seed: int) -> torch.Tensor:
    """Noise whose level goes up and down by 6 dB, so that no frame is silent: [T]."""
    generator = torch.Generator().manual_seed(seed)
    level = 0.1 * (1 + 0.3 * torch.sin(torch.arange(num_samples) / 700))
    return level * torch.randn(num_samples, generator=generator)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_it_is_stoi_where_nothing_is_silent(share: float) -> None:
    real = _modulated_noise(20_000, seed=1)
    fake = (1 - share) * real + share * _modulated_noise(20_000, seed=2)
    loss = IntelligibilityLoss(10_000, level_floor=1e-9)(real[None, None], fake[None, None])
    assert 1 - loss.item() == pytest.approx(stoi(real.numpy(), fake.numpy(), 10_000), abs=5e-3)


def test_speech_at_24_khz_is_near_stoi(carried_audio: Path) -> None:
    wav, rate_hz = soundfile.read(
        carried_audio / "test" / "speech" / "en_ljspeech_f_02.flac", dtype="float32"
    )
    real = torch.from_numpy(wav)
    fake = real + 0.3 * real.std() * torch.randn(len(real), generator=torch.Generator().manual_seed(0))
    loss = IntelligibilityLoss(rate_hz)(real[None, None], fake[None, None])
    assert 1 - loss.item() == pytest.approx(stoi(wav, fake.numpy(), rate_hz), abs=0.05)


def test_levels_do_not_count_but_weak_bands_do() -> None:
    loss = IntelligibilityLoss(24_000, level_floor=1e-6)
    noise = _modulated_noise(24_000, seed=3)
    spectrum = torch.fft.rfft(noise)
    spectrum[1500:] *= 0.01  # above 1.5 kHz
    real = torch.fft.irfft(spectrum)[None, None]
    spectrum[1500:] = 0.0
    without_weak = torch.fft.irfft(spectrum)[None, None]
    assert loss(real, 0.5 * real) < 0.01
    assert loss(real, without_weak) > 0.2  # four of fifteen bands, of a ten-thousandth of their energy


def test_silence_has_a_finite_gradient() -> None:
    for real in (torch.randn(1, 1, 12_000), torch.zeros(1, 1, 12_000)):
        fake = torch.zeros(1, 1, 12_000, requires_grad=True)
        IntelligibilityLoss(24_000)(real, fake).backward()
        assert fake.grad is not None and bool(fake.grad.isfinite().all())


def test_items_are_averaged_and_autocast_does_not_matter() -> None:
    real, fake = torch.randn(2, 3, 1, 12_000, generator=torch.Generator().manual_seed(2)).unbind()
    loss = IntelligibilityLoss(24_000)
    alone = [loss(real[item : item + 1], fake[item : item + 1]) for item in range(3)]
    torch.testing.assert_close(loss(real, fake), torch.stack(alone).mean())
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(real, fake) == loss(real, fake.clone())


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="sample_rate_hz 8000"):
        IntelligibilityLoss(8000)
    with pytest.raises(ValueError, match="level_floor"):
        IntelligibilityLoss(24_000, level_floor=0.0)
    loss = IntelligibilityLoss(24_000)
    with pytest.raises(ValueError, match=str(loss.min_length_samples)):
        loss(torch.zeros(1, 1, 2000), torch.zeros(1, 1, 2000))
    with pytest.raises(ValueError, match="one shape"):
        loss(torch.zeros(1, 1, 12_000), torch.zeros(1, 12_000))
