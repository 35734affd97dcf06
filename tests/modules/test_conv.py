"""Lengths, causality and parity with the reference of the self-padding convolutions."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encodec_lab.modules.conv import PaddedConv1d, TrimmedConvTranspose1d, reflect_pad

GEOMETRIES = [
    (7, 1, 1),
    (3, 1, 1),
    (3, 1, 2),
    (1, 1, 1),
    (4, 2, 1),
    (8, 4, 1),
    (10, 5, 1),
    (16, 8, 1),
    (5, 3, 1),
]


def conv(
    kernel_size: int, stride: int, dilation: int, causal: bool, norm: str = "weight_norm"
) -> PaddedConv1d:
    torch.manual_seed(0)
    return PaddedConv1d(2, 3, kernel_size, stride=stride, dilation=dilation, causal=causal, norm=norm)


def transposed(
    kernel_size: int, stride: int, causal: bool, norm: str = "weight_norm"
) -> TrimmedConvTranspose1d:
    torch.manual_seed(0)
    return TrimmedConvTranspose1d(2, 3, kernel_size, stride=stride, causal=causal, norm=norm)


def test_reflect_pad_mirrors_without_repeating_the_edge():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert reflect_pad(x, 2, 1).tolist() == [[3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0]]
    assert reflect_pad(x, 0, 0) is x


def test_reflect_pad_extends_short_inputs_by_zeros():
    assert reflect_pad(torch.tensor([[5.0]]), 3, 0).tolist() == [[0.0, 0.0, 0.0, 5.0]]
    assert reflect_pad(torch.tensor([[5.0, 6.0]]), 2, 2).tolist() == [[0.0, 6.0, 5.0, 6.0, 0.0, 6.0]]


@settings(deadline=None, max_examples=150, derandomize=True)
@given(length=st.integers(1, 70), geometry=st.sampled_from(GEOMETRIES), causal=st.booleans())
def test_conv_gives_a_frame_for_every_started_stride(length, geometry, causal):
    kernel_size, stride, dilation = geometry
    y = conv(kernel_size, stride, dilation, causal)(torch.randn(1, 2, length))
    assert y.shape == (1, 3, -(-length // stride))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(length=st.integers(1, 30), stride=st.sampled_from([1, 2, 3, 4, 5, 8]), causal=st.booleans())
def test_transposed_conv_gives_a_stride_for_every_frame(length, stride, causal):
    assert transposed(2 * stride, stride, causal)(torch.randn(1, 2, length)).shape == (1, 3, length * stride)


@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), GEOMETRIES)
def test_causal_conv_hears_nothing_of_the_future(kernel_size, stride, dilation):
    """A change from sample t on changes no frame that ends before t; the non-causal one does change some."""
    x = torch.randn(1, 2, 10 * stride * dilation + 4 * kernel_size)
    x = x[..., : x.shape[-1] // stride * stride]
    t = x.shape[-1] // 2 // stride * stride
    changed = x.clone()
    changed[..., t:] += 1.0
    causal, other = (conv(kernel_size, stride, dilation, causal) for causal in (True, False))
    frame = t // stride
    assert torch.equal(causal(x)[..., :frame], causal(changed)[..., :frame])
    assert not torch.allclose(causal(x)[..., frame:], causal(changed)[..., frame:])
    if (kernel_size - 1) * dilation + 1 - stride >= 2:
        assert not torch.allclose(other(x)[..., :frame], other(changed)[..., :frame])


@pytest.mark.parametrize("stride", [2, 4, 5, 8])
def test_causal_transposed_conv_hears_nothing_of_the_future(stride):
    x = torch.randn(1, 2, 12)
    changed = x.clone()
    changed[..., 6:] += 1.0
    causal, other = (transposed(2 * stride, stride, causal) for causal in (True, False))
    assert torch.equal(causal(x)[..., : 6 * stride], causal(changed)[..., : 6 * stride])
    assert not torch.allclose(other(x)[..., : 6 * stride], other(changed)[..., : 6 * stride])


@pytest.mark.parametrize(
    ("norm", "causal"), [("weight_norm", True), ("weight_norm", False), ("time_group_norm", False)]
)
def test_equals_the_reference_at_every_length(reference_package, norm, causal):
    reference = reference_package.modules.SConv1d
    for kernel_size, stride, dilation in GEOMETRIES:
        ours = conv(kernel_size, stride, dilation, causal, norm)
        theirs = reference(2, 3, kernel_size, stride, dilation, causal=causal, norm=norm)
        theirs.load_state_dict(ours.state_dict())
        for length in [*range(1, 25), 100]:
            x = torch.randn(2, 2, length)
            assert torch.equal(ours(x), theirs(x)), (kernel_size, stride, dilation, length)


@pytest.mark.parametrize(
    ("norm", "causal"), [("weight_norm", True), ("weight_norm", False), ("time_group_norm", False)]
)
def test_transposed_equals_the_reference(reference_package, norm, causal):
    reference = reference_package.modules.SConvTranspose1d
    for stride, length in itertools.product([2, 3, 4, 5, 8], [1, 2, 3, 20]):
        ours = transposed(2 * stride, stride, causal, norm)
        theirs = reference(2, 3, 2 * stride, stride, causal=causal, norm=norm)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(2, 2, length)
        assert torch.equal(ours(x), theirs(x)), (stride, length)


def test_group_norm_normalises_every_item_on_its_own():
    layer = conv(3, 1, 1, False, "time_group_norm")
    y = layer(torch.randn(3, 2, 200) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1) + 5)
    torch.testing.assert_close(y.mean((1, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.square().mean((1, 2)), torch.ones(3), atol=1e-3, rtol=0)
