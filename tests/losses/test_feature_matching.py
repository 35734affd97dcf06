from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from encodec_lab.losses import FeatureMatchingLoss


class Output(NamedTuple):
    features: list[Tensor]


def test_difference_is_relative_to_the_real_features() -> None:
    real = [Output([torch.tensor([[2.0, -2.0]]), torch.tensor([[10.0]])]), Output([torch.tensor([[4.0]])])]
    fake = [Output([torch.tensor([[2.0, -1.0]]), torch.tensor([[15.0]])]), Output([torch.tensor([[4.0]])])]
    assert FeatureMatchingLoss()(real, fake) == pytest.approx((0.25 + 0.5 + 0.0) / 3)


def test_batch_is_the_mean_of_its_items() -> None:
    """So that two ranks with half a batch each equal one process."""
    torch.manual_seed(0)
    level = torch.tensor([0.01, 1.0, 5.0, 100.0]).view(4, 1, 1, 1)
    real, fake = torch.randn(4, 3, 5, 7) * level, torch.randn(4, 3, 5, 7)
    loss = FeatureMatchingLoss()
    single = [loss([Output([real[i : i + 1]])], [Output([fake[i : i + 1]])]) for i in range(4)]
    torch.testing.assert_close(loss([Output([real])], [Output([fake])]), torch.stack(single).mean())


def test_real_features_are_constants() -> None:
    real, fake = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    FeatureMatchingLoss()([Output([real])], [Output([fake])]).backward()
    assert real.grad is None
    assert fake.grad is not None and fake.grad.abs().sum() > 0


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_is_that_of_the_formula(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    real, fake = (torch.randn(3, 4, 5, 7).contiguous(memory_format=layout) for _ in range(2))
    fake[0, 0, 0] = real[0, 0, 0]  # where they are the same there is no slope
    fake.requires_grad_()
    scale = real.abs().mean((1, 2, 3), keepdim=True)
    formula = ((real - fake).abs() / scale).mean()
    loss = FeatureMatchingLoss()([Output([real])], [Output([fake])])
    torch.testing.assert_close(loss, formula)
    (expected,) = torch.autograd.grad(formula, [fake])
    for _ in range(2):  # the graph is kept between the backward passes of a step
        (gradient,) = torch.autograd.grad(loss, [fake], retain_graph=True)
        torch.testing.assert_close(gradient, expected)


def test_features_of_zeros_do_not_divide_by_zero() -> None:
    fake = torch.ones(1, 4, requires_grad=True)
    loss = FeatureMatchingLoss()([Output([torch.zeros(1, 4)])], [Output([fake])])
    loss.backward()
    assert loss.isfinite() and fake.grad is not None and fake.grad.isfinite().all()


def test_features_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[\(1, 4\)\] of real audio and \[\(1, 5\)\] of fake"):
        FeatureMatchingLoss()([Output([torch.ones(1, 4)])], [Output([torch.ones(1, 5)])])
    with pytest.raises(ValueError, match="feature maps"):
        FeatureMatchingLoss()([], [])
