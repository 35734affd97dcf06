"""Weight-normalised layers against torch's own parametrization."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConv2d, WeightNormConvTranspose1d

LAYERS = [
    pytest.param(
        lambda: WeightNormConv1d(3, 5, 4, stride=2, dilation=3),
        lambda: nn.Conv1d(3, 5, 4, stride=2, dilation=3),
        (2, 3, 40),
        id="conv1d",
    ),
    pytest.param(
        lambda: WeightNormConvTranspose1d(3, 5, 4, stride=2),
        lambda: nn.ConvTranspose1d(3, 5, 4, stride=2),
        (2, 3, 11),
        id="conv_transpose1d",
    ),
    pytest.param(
        lambda: WeightNormConv2d(3, 5, (3, 9), stride=(1, 2), padding=(1, 4), dilation=(1, 1)),
        lambda: nn.Conv2d(3, 5, (3, 9), stride=(1, 2), padding=(1, 4), dilation=(1, 1)),
        (2, 3, 7, 20),
        id="conv2d",
    ),
]


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Gradients of bias, magnitude and direction for a fixed function of the output."""
    named = dict(layer.named_parameters())
    magnitude = named.get("weight_g", named.get("parametrizations.weight.original0"))
    direction = named.get("weight_v", named.get("parametrizations.weight.original1"))
    assert magnitude is not None and direction is not None
    return list(torch.autograd.grad(layer(x).sin().sum(), [named["bias"], magnitude, direction]))


@pytest.mark.parametrize(("ours", "plain", "shape"), LAYERS)
def test_equals_the_parametrization_of_torch(ours, plain, shape):
    torch.manual_seed(0)
    layer, expected = ours(), weight_norm(plain())
    x = torch.randn(shape)
    parametrized = expected.parametrizations.weight
    with torch.no_grad():
        layer.bias.copy_(expected.bias)
        layer.weight_g.copy_(parametrized.original0.mul_(1.7))
        layer.weight_v.copy_(parametrized.original1)
    assert layer.weight_g.shape == parametrized.original0.shape
    torch.testing.assert_close(layer(x), expected(x))
    for got, wanted in zip(gradients(layer, x), gradients(expected, x), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(("ours", "plain", "shape"), LAYERS)
def test_starts_as_the_plain_layer(ours, plain, shape):
    torch.manual_seed(0)
    layer = ours()
    torch.manual_seed(0)
    expected = plain()
    x = torch.randn(shape)
    torch.testing.assert_close(layer(x), expected(x))
    assert set(dict(layer.named_parameters())) == {"bias", "weight_g", "weight_v"}


@pytest.mark.parametrize(("ours", "plain", "shape"), LAYERS)
def test_deep_copy_after_a_backward_pass_is_apart(ours, plain, shape):
    layer = ours()
    x = torch.randn(shape)
    before = layer(x)
    before.sum().backward()
    copied = copy.deepcopy(layer)
    with torch.no_grad():
        layer.weight_g.mul_(2)
    torch.testing.assert_close(copied(x), before)
    assert not torch.allclose(layer(x), before)
