import math
import warnings

import pytest
import torch
import torchaudio
from torch import Tensor
from torch.nn import functional

from encodec_lab.losses import MultiScaleMelLoss, non_empty_mel_counts
from encodec_lab.losses import mel as mel_module

PAPER_WINDOWS = [2**exponent for exponent in range(5, 12)]


def _paper_loss() -> MultiScaleMelLoss:
    return MultiScaleMelLoss(24000, PAPER_WINDOWS, num_mels=64, low_hz=64.0)


def _expected(real: Tensor, fake: Tensor, window: int, num_mels: int) -> Tensor:
    """audiocraft's formula for one scale, on torchaudio's own mel spectrogram."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # empty filters
        transform = torchaudio.transforms.MelSpectrogram(
            24000, window, hop_length=window // 4, f_min=64.0, n_mels=num_mels, normalized=True, center=False
        )
    mels = []
    for wav in (real, fake):
        reflected = functional.pad(wav, (window * 3 // 8, window * 3 // 8), "reflect")
        num_frames = math.ceil(wav.shape[-1] / (window // 4))
        full_length = (num_frames - 1) * (window // 4) + window
        mels.append(transform(functional.pad(reflected, (0, full_length - reflected.shape[-1]))))
        assert mels[-1].shape[-1] == num_frames
    logs = [torch.log10(1e-5 + mel) for mel in mels]
    return functional.l1_loss(*mels) + functional.mse_loss(*logs)


@pytest.mark.parametrize("num_samples", [2048, 2999])
def test_paper_preset_is_the_mean_over_scales_of_audiocrafts_formula(num_samples: int) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 2, num_samples), 0.3 * torch.randn(2, 2, num_samples)
    expected = torch.stack([_expected(real, fake, window, 64) for window in PAPER_WINDOWS]).mean()
    torch.testing.assert_close(_paper_loss()(real, fake), expected, rtol=1e-5, atol=0)


def test_number_of_mels_per_scale() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(1, 1, 900), torch.randn(1, 1, 900)
    loss = MultiScaleMelLoss(24000, [64, 256], num_mels=[10, 30], low_hz=64.0)
    expected = (_expected(real, fake, 64, 10) + _expected(real, fake, 256, 30)) / 2
    torch.testing.assert_close(loss(real, fake), expected, rtol=1e-5, atol=0)


def test_calls_rebuild_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 10: windows and filterbanks rebuilt at every call."""
    loss = _paper_loss()

    def fail(*args: object, **kwargs: object) -> Tensor:
        raise AssertionError("rebuilt")

    monkeypatch.setattr(mel_module, "mel_filterbank", fail)
    monkeypatch.setattr(torch, "hann_window", fail)
    assert loss(torch.zeros(1, 1, 1000), torch.ones(1, 1, 1000)) > 0


def test_constants_follow_the_device_and_stay_out_of_the_state() -> None:
    loss = _paper_loss()
    assert loss.state_dict() == {}
    assert len(list(loss.buffers())) == 2 * len(PAPER_WINDOWS)
    assert all(buffer.is_meta for buffer in loss.to("meta").buffers())


def test_paper_preset_gives_no_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _paper_loss()
        non_empty_mel_counts(PAPER_WINDOWS, 24000, 64.0, max_mels=64)
    assert caught == []


@pytest.mark.parametrize(("sample_rate_hz", "low_hz"), [(24000, 64.0), (48000, 64.0), (24000, 0.0)])
def test_non_empty_counts_are_the_largest(sample_rate_hz: int, low_hz: float) -> None:
    counts = non_empty_mel_counts(PAPER_WINDOWS, sample_rate_hz, low_hz, max_mels=64)
    assert counts[-1] == 64 and counts == sorted(counts)
    for window, count in zip(PAPER_WINDOWS, counts, strict=True):
        assert not _num_empty(window, sample_rate_hz, low_hz, count)
        assert all(_num_empty(window, sample_rate_hz, low_hz, more) for more in range(count + 1, 65))


def _num_empty(window: int, sample_rate_hz: int, low_hz: float, num_mels: int) -> int:
    loss = MultiScaleMelLoss(sample_rate_hz, [window], num_mels, low_hz)
    (filters,) = (buffer for name, buffer in loss.named_buffers() if name.endswith("filters"))
    return int((filters == 0).all(1).sum())


def test_silence_and_equality() -> None:
    loss = _paper_loss()
    wav = torch.zeros(1, 1, 1000, requires_grad=True)
    silent = loss(torch.zeros(1, 1, 1000), wav)
    silent.backward()
    assert silent == 0 and wav.grad is not None and wav.grad.isfinite().all()
    noise = torch.randn(1, 1, 1000)
    assert loss(noise, noise) == 0
    assert loss(noise, 0.5 * noise) > 0


def test_real_audio_is_a_constant() -> None:
    real, fake = torch.randn(1, 1, 1000, requires_grad=True), torch.randn(1, 1, 1000, requires_grad=True)
    _paper_loss()(real, fake).backward()
    assert real.grad is None
    assert fake.grad is not None and fake.grad.abs().sum() > 0


def test_autocast_does_not_lower_the_precision() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(1, 1, 1000), torch.randn(1, 1, 1000)
    loss = _paper_loss()
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(real, fake)
    assert torch.equal(inside, loss(real, fake))


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_mels \[8\] for window_lengths \[64, 128\]"):
        MultiScaleMelLoss(24000, [64, 128], [8], 64.0)
    with pytest.raises(ValueError, match="window length 36"):
        MultiScaleMelLoss(24000, [36], 8, 64.0)
    with pytest.raises(ValueError, match="num_mels 0"):
        MultiScaleMelLoss(24000, [64], 0, 64.0)
    with pytest.raises(ValueError, match=r"low_hz 12000\.0 at 24000 Hz"):
        MultiScaleMelLoss(24000, [64], 8, 12000.0)
    with pytest.raises(ValueError, match="window of 32 samples with max_mels 0"):
        non_empty_mel_counts([32], 24000, 64.0, max_mels=0)
    loss = _paper_loss()
    with pytest.raises(ValueError, match="768 samples.*at least 769"):
        loss(torch.zeros(1, 1, 768), torch.zeros(1, 1, 768))
    loss(torch.zeros(1, 1, 769), torch.zeros(1, 1, 769))
    with pytest.raises(ValueError, match="give one shape"):
        loss(torch.zeros(1, 1, 1000), torch.zeros(2, 1, 1000))
