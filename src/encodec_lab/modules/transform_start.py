"""A start for causal SEANets that is a codec already: the encoder is a block transform, the decoder its inverse.

Every hop is a block, of which the latent is the lowest coefficients of an orthonormal discrete cosine transform. The
strided convolutions deal the samples of a block out to channels, phase by phase, the last of them transforms, and the
decoder does the same backwards. ELU is the identity for small signals, which is why they are made small on the way.
The other channels keep their random weights, and learn what a block transform cannot do.
"""

import math

import torch

from encodec_lab.modules.initialization import preserve_signal_
from encodec_lab.modules.seanet import ResidualUnit, SeanetDecoder, SeanetEncoder
from encodec_lab.modules.start_weights import (
    SeanetLayers,
    assign_,
    branch,
    carry,
    check_kind,
    collect,
    cosine_basis,
    deal,
    full_weight,
    inner,
)

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
    check_kind(encoder, decoder, "a block transform")
    preserve_signal_(encoder)
    preserve_signal_(decoder)
    down, up = SeanetLayers(encoder), SeanetLayers(decoder)
    strides = [conv.stride[0] for conv in down.strided]
    latent_dim = down.last.out_channels
    hop_length = math.prod(strides)
    if latent_dim > hop_length:
        raise ValueError(
            f"a block of {hop_length} samples has no {latent_dim} coefficients: use a smaller latent_dim"
        )
    carry(down.first, 1, _SAMPLE_SCALE)
    carry(up.last, 1, 1 / _SAMPLE_SCALE)
    phase_counts = [1]  # channels that a block is dealt out to, by layer
    for stride in strides[:-1]:
        phase_counts.append(phase_counts[-1] * stride)
    signals = [torch.eye(count) for count in phase_counts[1:]] + [cosine_basis(hop_length)[:latent_dim]]
    scales = [1.0] * (len(strides) - 1) + [_COEFFICIENT_SCALE]
    for index, (rows, scale) in enumerate(zip(signals, scales, strict=True)):
        if len(rows) > down.strided[index].out_channels:
            raise ValueError(
                f"a layer of {down.strided[index].out_channels} channels is too narrow for {len(rows)} of a block"
            )
        deal(down.strided[index], strides[index], scale * rows)
        collect(up.strided[index], strides[index], rows / scale)
    carry(down.last, latent_dim, 1 / (_SAMPLE_SCALE * _COEFFICIENT_SCALE))
    carry(up.first, latent_dim, _SAMPLE_SCALE * _COEFFICIENT_SCALE)
    for units, count in zip(down.units, phase_counts, strict=True):
        _open(units, count)
    for units, count in zip(up.units, reversed(phase_counts), strict=True):
        _open(units, count)


def _open(units: list[ResidualUnit], num_signals: int) -> None:
    """Let the first signals through residual units, which add little to them."""
    for unit in units:
        carry(inner(unit.shortcut), num_signals, 1.0)
        conv = branch(unit)[1]
        weight = full_weight(conv)
        weight[:num_signals] *= _RESIDUAL_SCALE
        assign_(conv, weight)
