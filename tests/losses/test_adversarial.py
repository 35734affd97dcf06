from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from encodec_lab.losses import DiscriminatorHingeLoss, GeneratorHingeLoss


class Output(NamedTuple):
    logits: Tensor


REAL = [Output(torch.tensor([[2.0, 0.0]])), Output(torch.tensor([[-1.0, 1.0, 1.0, 1.0]]))]
FAKE = [Output(torch.tensor([[-3.0, 0.0]])), Output(torch.tensor([[1.0, -1.0, -1.0, -1.0]]))]


def test_discriminator_wants_real_above_one_and_fake_below_minus_one() -> None:
    # scale 1: (0 + 1) / 2 twice; scale 2: 2 / 4 twice
    assert DiscriminatorHingeLoss()(REAL, FAKE) == pytest.approx(1.0)
    assert DiscriminatorHingeLoss()(FAKE, REAL) > 2.0


def test_generator_wants_fake_above_one() -> None:
    # scale 1: (4 + 1) / 2; scale 2: (0 + 3 * 2) / 4
    assert GeneratorHingeLoss()(FAKE) == pytest.approx((2.5 + 1.5) / 2)


def test_generator_gains_nothing_beyond_one() -> None:
    logits = torch.tensor([[5.0, 0.5]], requires_grad=True)
    GeneratorHingeLoss()([Output(logits)]).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.0, -0.5]]


def test_half_precision_logits_are_averaged_in_single_precision() -> None:
    loss = GeneratorHingeLoss()([Output(torch.zeros(1, 1000, dtype=torch.bfloat16))])
    assert loss.dtype == torch.float32
    assert loss == 1.0


def test_missing_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match="no discriminator outputs"):
        GeneratorHingeLoss()([])
    with pytest.raises(ValueError, match="2 outputs for real audio and 1 for fake"):
        DiscriminatorHingeLoss()(REAL, FAKE[:1])
