"""Streaming layers against the offline ones: equal for every length and every way to cut it."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from encodec_lab.modules.conv import PaddedConv1d, TrimmedConvTranspose1d
from encodec_lab.modules.lstm import SkipLSTM
from encodec_lab.modules.seanet import ResidualUnit, SeanetDecoder, SeanetEncoder, SeanetShape
from encodec_lab.modules.streaming import StreamingLayer, StreamingSequence, streaming_layer

SHAPE = SeanetShape(
    channels=2,
    latent_dim=5,
    num_filters=4,
    strides=(2, 3),
    num_residual_units=2,
    kernel_size=7,
    last_kernel_size=5,
    residual_kernel_size=3,
    dilation_base=2,
    compress=2,
    num_lstm_layers=2,
    causal=True,
    norm="weight_norm",
)


def conv(kernel_size: int, stride: int, dilation: int = 1) -> PaddedConv1d:
    torch.manual_seed(0)
    return PaddedConv1d(3, 4, kernel_size, stride=stride, dilation=dilation, causal=True, norm="weight_norm")


def run(layer: StreamingLayer, x: Tensor, sizes: list[int]) -> list[Tensor]:
    """What each piece [B, C, T] gives, the sizes repeated as often as needed, and at last what the end gives."""
    outputs, start = [], 0
    for size in itertools.cycle(sizes):
        outputs.append(push(layer, x[..., start : start + size], is_last=False))
        start += size
        if start >= x.shape[-1]:
            return [*outputs, push(layer, x[..., :0], is_last=True)]
    raise AssertionError


def push(layer: StreamingLayer, x: Tensor, is_last: bool) -> Tensor:
    """A layer takes and gives [B, T, C]; the modules that it is compared to, [B, C, T]."""
    return layer(x.transpose(1, 2), is_last).transpose(1, 2)


CHUNKINGS = [[1], [2], [7], [1000], [0, 3, 1, 0, 0, 5], [13, 1]]


@torch.no_grad()
@pytest.mark.parametrize("sizes", CHUNKINGS, ids=str)
@pytest.mark.parametrize("settings", [(7, 1), (1, 1), (3, 1, 4), (4, 2), (10, 5), (5, 3), (16, 8)], ids=str)
def test_convolution(settings, sizes):
    offline = conv(*settings)
    for num_samples in range(1, 40):
        x = torch.randn(2, 3, num_samples)
        streamed = torch.cat(run(streaming_layer(offline), x, sizes), dim=-1)
        torch.testing.assert_close(streamed, offline(x), atol=1e-6, rtol=0)


@torch.no_grad()
def test_convolution_waits_for_its_reflection_and_then_no_longer_than_a_stride():
    layer = streaming_layer(conv(10, 5))
    got = [push(layer, torch.randn(1, 3, 1), is_last=False).shape[-1] for _ in range(20)]
    assert got == [0] * 5 + [1] + [0, 0, 0, 1] + [0, 0, 0, 0, 1] * 2  # reflects samples 1 to 5
    layer = streaming_layer(conv(7, 1))
    assert [push(layer, torch.randn(1, 3, 1), is_last=False).shape[-1] for _ in range(10)] == [0] * 6 + [
        7,
        1,
        1,
        1,
    ]


@torch.no_grad()
@pytest.mark.parametrize("sizes", CHUNKINGS, ids=str)
@pytest.mark.parametrize(("kernel_size", "stride"), [(4, 2), (16, 8), (7, 2), (3, 3)])
def test_transposed_convolution(kernel_size, stride, sizes):
    torch.manual_seed(0)
    offline = TrimmedConvTranspose1d(3, 4, kernel_size, stride=stride, causal=True, norm="weight_norm")
    for num_frames in (1, 2, 3, 20):
        x = torch.randn(2, 3, num_frames)
        pieces = run(streaming_layer(offline), x, sizes)
        torch.testing.assert_close(torch.cat(pieces, dim=-1), offline(x), atol=1e-6, rtol=0)
        assert pieces[0].shape[-1] == min(sizes[0], num_frames) * stride and pieces[-1].shape[-1] == 0


@torch.no_grad()
@pytest.mark.parametrize("sizes", [[1], [4], [5], [3, 0, 9], [100]], ids=str)
@pytest.mark.parametrize("build", [lambda: SkipLSTM(6, 2), lambda: ResidualUnit(SHAPE, 6, 2)])
def test_layers_with_skip_paths(build, sizes):
    torch.manual_seed(0)
    offline = build()
    for num_frames in (1, 2, 3, 4, 5, 30):
        x = torch.randn(2, 6, num_frames)
        streamed = torch.cat(run(streaming_layer(offline), x, sizes), dim=-1)
        torch.testing.assert_close(streamed, offline(x), atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [[1], [6], [50, 1, 0], [1000]], ids=str)
def test_networks(sizes):
    torch.manual_seed(0)
    for offline, channels in ((SeanetEncoder(SHAPE), 2), (SeanetDecoder(SHAPE), 5)):
        for length in (*range(1, 14), 18, 41, 50):
            x = torch.randn(1, channels, length)
            streamed = torch.cat(run(StreamingSequence(offline.model), x, sizes), dim=-1)
            torch.testing.assert_close(streamed, offline(x), atol=1e-6, rtol=0)


@torch.no_grad()
def test_pieces_are_not_kept_alive_nor_trusted_to_stay():
    """A caller may read the next samples into the same memory, and long pieces are let go."""
    offline = conv(7, 1)
    x = torch.randn(1, 3, 3000)
    layer, memory, outputs = streaming_layer(offline), torch.empty(1, 3, 3), []
    for piece in x.split(3, dim=-1):
        memory.copy_(piece)
        outputs.append(push(layer, memory, is_last=False))
    torch.testing.assert_close(torch.cat(outputs, dim=-1), offline(x), atol=1e-6, rtol=0)
    layer = streaming_layer(offline)
    push(layer, x, is_last=False)
    assert layer._held.untyped_storage().nbytes() == 6 * 3 * 4


def test_weights_are_those_of_the_offline_layer():
    offline = SkipLSTM(6, 1)
    with torch.no_grad():
        before = streaming_layer(offline)(torch.ones(1, 1, 6), is_last=True)
        offline.lstm.weight_ih_l0.zero_()
        offline.lstm.bias_ih_l0.fill_(3.0)
        after = streaming_layer(offline)(torch.ones(1, 1, 6), is_last=True)
    assert not torch.equal(before, after)


def test_layers_without_a_counterpart_are_refused():
    with pytest.raises(AssertionError, match="GELU"):
        StreamingSequence(nn.Sequential(nn.GELU()))
