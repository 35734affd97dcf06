import pytest
import torch

from encodec_lab.losses import WaveformL1Loss


def test_mean_absolute_difference() -> None:
    real = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]])
    fake = torch.tensor([[[0.0, 4.0]], [[1.0, 0.0]]])
    assert WaveformL1Loss()(real, fake) == 1.0


def test_real_audio_is_a_constant() -> None:
    real, fake = torch.zeros(1, 1, 4, requires_grad=True), torch.ones(1, 1, 4, requires_grad=True)
    WaveformL1Loss()(real, fake).backward()
    assert real.grad is None
    assert fake.grad is not None and fake.grad.flatten().tolist() == [0.25] * 4


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 4\) and \(2, 4\)"):
        WaveformL1Loss()(torch.zeros(2, 1, 4), torch.zeros(2, 4))
