"""Packed convolutions, ELU and normalisation over [B, T, C] against torch's own over [B, C, T]."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from encodec_lab.modules import fast_elu, packed_conv
from encodec_lab.modules.fast_elu import elu_into
from encodec_lab.modules.packed_conv import FewChannelsConv1d, PackedConv1d
from encodec_lab.modules.time_norm import normalize_


@pytest.fixture(params=[True, False], ids=["onednn", "without"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what this machine has, and with what every machine has."""
    if not request.param:
        monkeypatch.setattr(packed_conv, "_fits_onednn", lambda weight: False)
        monkeypatch.setattr(fast_elu, "_NUMPY_IS_FASTER", False)


@torch.no_grad()
@pytest.mark.parametrize(
    ("channels", "kernel_size", "stride", "dilation"),
    [((1, 8), 7, 1, 1), ((3, 5), 1, 1, 1), ((4, 6), 4, 2, 1), ((2, 3), 3, 1, 4), ((16, 32), 10, 5, 1)],
)
def test_convolution(channels, kernel_size, stride, dilation):
    torch.manual_seed(0)
    weight, bias = torch.randn(channels[1], channels[0], kernel_size), torch.randn(channels[1])
    layer = PackedConv1d(weight, bias, stride, dilation)
    for num_steps in (kernel_size * dilation, 40, 1001):
        x = torch.randn(2, num_steps, channels[0])
        expected = functional.conv1d(x.transpose(1, 2), weight, bias, stride, dilation=dilation).transpose(
            1, 2
        )
        y = layer(x)
        assert y.is_contiguous()
        torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
        other = torch.randn_like(expected)
        total = other.clone(memory_format=torch.contiguous_format)
        assert layer(x, add_to=total) is total
        torch.testing.assert_close(total, expected + other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("out_channels", [1, 2, 3])
def test_few_channels(out_channels):
    torch.manual_seed(0)
    weight, bias = torch.randn(out_channels, 4, 7), torch.randn(out_channels)
    layer = FewChannelsConv1d(weight, bias)
    for num_out in (1, 4, 15, 16, 17, 32, 101):
        x = torch.randn(2, num_out + 6, 4)
        expected = functional.conv1d(x.transpose(1, 2), weight, bias).transpose(1, 2)
        torch.testing.assert_close(layer(x), expected, atol=1e-4, rtol=1e-4)


def test_elu_into_a_part_of_other_memory():
    values = torch.tensor(
        [-torch.inf, -100.0, -1.0, -1e-6, -0.0, 0.0, 1e-6, 3.0, 100.0, torch.inf, torch.nan]
    )
    x = torch.cat([values, 4 * torch.randn(1001)]).expand(2, 3, -1)
    out = torch.full((2, 5, x.shape[-1]), 7.0)
    elu_into(x, out[:, 1:4])
    torch.testing.assert_close(out[:, 1:4], functional.elu(x), atol=2e-7, rtol=2e-7, equal_nan=True)
    assert (out[:, [0, 4]] == 7.0).all()


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 10, 3), (2, 3000, 2), (1, 5003, 8)], ids=str)
def test_normalisation(shape):
    """Also of what lies far from zero, and of what does not vary at all."""
    torch.manual_seed(0)
    norm = nn.GroupNorm(1, shape[2])
    norm.weight.normal_()
    norm.bias.normal_()
    for x in (torch.randn(shape), 0.01 * torch.randn(shape) + 1.0, torch.zeros(shape)):
        expected = norm.double()(x.double().transpose(1, 2)).transpose(1, 2).float()
        norm.float()
        torch.testing.assert_close(normalize_(x, norm), expected, atol=2e-4, rtol=1e-4)
