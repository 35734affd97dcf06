"""A start for causal SEANets that is a codec already: the encoder is a block transform, the decoder its inverse.

Every hop is a block, of which the latent is the lowest coefficients of an orthonormal discrete cosine transform. The
strided convolutions deal the samples of a block out to channels, phase by phase, the last of them transforms, and the
decoder does the same backwards. ELU is the identity for small signals, which is why they are made small on the way.
The other channels keep their random weights, and learn what a block transform cannot do.
"""

import itertools
import math

import torch
from torch import Tensor, nn

from encodec_lab.modules.conv import PaddedConv1d, TrimmedConvTranspose1d
from encodec_lab.modules.initialization import preserve_signal_
from encodec_lab.modules.seanet import ResidualUnit, SeanetDecoder, SeanetEncoder
from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

NormedConv = WeightNormConv1d | WeightNormConvTranspose1d

# Of full scale within the network: ELU then bends the loudest peaks by an eighth, and speech by far less.
_SAMPLE_SCALE = 0.25
_COEFFICIENT_SCALE = 0.25  # on top of it: the coefficients of a block are larger than its samples
_RESIDUAL_SCALE = 0.01  # of the branch of a residual unit, where it adds to the signal


@torch.no_grad()
def start_as_block_transform_(encoder: SeanetEncoder, decoder: SeanetDecoder) -> None:
    """Give both their first weights: those of `preserve_signal_`, with a block transform in some of the channels.

    Raises:
        ValueError: the networks are not causal, mono and weight normalised without an LSTM, or have too few channels.
    """
    _check_kind(encoder, decoder)
    preserve_signal_(encoder)
    preserve_signal_(decoder)
    layers = [layer for layer in encoder.model if isinstance(layer, PaddedConv1d)]
    first, *strided, last = (_inner(layer) for layer in layers)
    decoder_first, decoder_last = (
        _inner(layer) for layer in decoder.model if isinstance(layer, PaddedConv1d)
    )
    mirrored = [_inner(layer) for layer in decoder.model if isinstance(layer, TrimmedConvTranspose1d)][::-1]
    latent_dim = last.out_channels
    hop_length = math.prod(conv.stride[0] for conv in strided)
    if latent_dim > hop_length:
        raise ValueError(
            f"a block of {hop_length} samples has no {latent_dim} coefficients: use a smaller latent_dim"
        )
    _carry(first, 1, _SAMPLE_SCALE)
    num_phases = 1  # channels that a block is dealt out to
    for index, (down, up) in enumerate(zip(strided, mirrored, strict=True)):
        stride = down.stride[0]
        if index < len(strided) - 1:
            dealt, scale = _dealing(num_phases, stride), 1.0
        else:
            dealt, scale = _transform(latent_dim, num_phases, stride), _COEFFICIENT_SCALE
        if len(dealt) > down.out_channels:
            raise ValueError(
                f"a layer of {down.out_channels} channels is too narrow for {len(dealt)} of a block"
            )
        weight = _weight(down)  # [out, in, 2 * stride]
        weight[: len(dealt)] = 0.0
        weight[: len(dealt), :num_phases, stride:] = scale * dealt  # the newer half of what it sees
        _assign_(down, weight)
        weight = _weight(up)  # [in, out, 2 * stride]
        weight[:, :num_phases] = 0.0
        weight[: len(dealt), :num_phases, :stride] = dealt / scale
        _assign_(up, weight)
        num_phases *= stride
    _carry(last, latent_dim, 1 / (_SAMPLE_SCALE * _COEFFICIENT_SCALE))
    _carry(decoder_first, latent_dim, _SAMPLE_SCALE * _COEFFICIENT_SCALE)
    _carry(decoder_last, 1, 1 / _SAMPLE_SCALE)
    _open_residual_units(encoder, [1, *_phase_counts(strided)])
    _open_residual_units(decoder, [*reversed(_phase_counts(strided)), 1])


def _check_kind(encoder: SeanetEncoder, decoder: SeanetDecoder) -> None:
    kinds = (PaddedConv1d, TrimmedConvTranspose1d, ResidualUnit, nn.ELU)
    layers = [*encoder.model, *decoder.model]
    convs = [
        conv
        for layer in layers
        for conv in layer.modules()
        if isinstance(conv, nn.Conv1d | nn.ConvTranspose1d)
    ]
    is_causal = all(layer.causal for layer in layers if isinstance(layer, PaddedConv1d))
    units = [layer for layer in layers if isinstance(layer, ResidualUnit)]
    if not units:
        raise ValueError("a codec can start as a block transform if it has residual units")
    if (
        not is_causal
        or not all(isinstance(layer, kinds) for layer in layers)
        or not all(isinstance(conv, NormedConv) for conv in convs)
        or convs[0].in_channels != 1
    ):
        raise ValueError(
            "a codec can start as a block transform if it is causal, mono, weight normalised and without LSTM"
        )


def _inner(layer: nn.Module) -> NormedConv:
    """The convolution in a layer that pads or trims."""
    assert isinstance(layer, PaddedConv1d | TrimmedConvTranspose1d)
    conv = layer.conv.conv if isinstance(layer, PaddedConv1d) else layer.convtr.convtr
    assert isinstance(conv, NormedConv)
    return conv


def _phase_counts(strided: list[NormedConv]) -> list[int]:
    """Channels of a block after each strided convolution but the last."""
    counts = [1]
    for conv in strided[:-1]:
        counts.append(counts[-1] * conv.stride[0])
    return counts[1:]


def _dealing(num_phases: int, stride: int) -> Tensor:
    """[stride * num_phases, num_phases, stride]: what was phase q at time m becomes phase num_phases * m + q."""
    return torch.eye(stride * num_phases).view(-1, stride, num_phases).transpose(1, 2)


def _transform(num_coefficients: int, num_phases: int, stride: int) -> Tensor:
    """[num_coefficients, num_phases, stride]: the first of the DCT-II of the block."""
    size = stride * num_phases
    time = torch.arange(size) + 0.5
    order = torch.arange(num_coefficients)[:, None]
    basis = math.sqrt(2 / size) * torch.cos(torch.pi / size * order * time)
    basis[0] /= math.sqrt(2)
    return basis.view(-1, stride, num_phases).transpose(1, 2)


def _weight(conv: NormedConv) -> Tensor:
    return torch._weight_norm(conv.weight_v, conv.weight_g, 0)


def _assign_(conv: NormedConv, weight: Tensor) -> None:
    """Set the weight, with a direction of norm one: small ones an optimizer would turn over in a few steps."""
    conv.weight_g.copy_(torch.norm_except_dim(weight, 2, 0))
    conv.weight_v.copy_(weight / conv.weight_g)


def _carry(conv: NormedConv, num_signals: int, scale: float) -> None:
    """Make the first outputs of a causal convolution the newest of the first inputs, times `scale`."""
    weight = _weight(conv)  # [out, in, kernel]
    weight[:num_signals] = 0.0
    weight[:num_signals, :num_signals, -1] = scale * torch.eye(num_signals)
    _assign_(conv, weight)


def _open_residual_units(network: SeanetEncoder | SeanetDecoder, num_signals: list[int]) -> None:
    """Let the signal through the residual units, which add little to it; every block of units has its number."""
    for block, count in zip(_blocks(network), num_signals, strict=True):
        for unit in block:
            _carry(_inner(unit.shortcut), count, 1.0)
            conv = _inner(unit.block[-1])
            weight = _weight(conv)
            weight[:count] *= _RESIDUAL_SCALE
            _assign_(conv, weight)


def _blocks(network: SeanetEncoder | SeanetDecoder) -> list[list[ResidualUnit]]:
    """Runs of neighbouring residual units."""
    runs = itertools.groupby(network.model, lambda layer: isinstance(layer, ResidualUnit))
    return [[unit for unit in run if isinstance(unit, ResidualUnit)] for is_unit, run in runs if is_unit]
