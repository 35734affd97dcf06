"""A start for causal SEANets that is a speech codec already: a cosine transform below, a channel vocoder above.

Every hop is a block. Of its latent one part are the lowest coefficients of an orthonormal discrete cosine transform,
companded: about the square root of each with its sign, so that the codebooks serve quiet sounds and loud ones. The
other part are the levels in decibels of bands a third of an octave wide from there up to half the sample rate, in which
the decoder puts fixed carriers of these levels: intelligibility hangs on the levels, and waveforms take the more bits
the wider a band is. The ear and the measure STOI ask for little more (Dudley 1939; Taal et al. 2011).

The strided convolutions deal the samples of a block out to channels, phase by phase, and the last of them transforms.
ELU is the identity above zero, where a bias lifts signals that are to pass; of others it cuts the negative half. What
the layers that work at the frame rate compute, a residual unit and a stride of 1, `elu_fits` has worked out. All other
channels keep their random weights and learn.
"""

import math

import torch
from torch import Tensor

from encodec_lab.modules import elu_fits
from encodec_lab.modules.initialization import preserve_signal_
from encodec_lab.modules.seanet import ResidualUnit, SeanetDecoder, SeanetEncoder
from encodec_lab.modules.start_weights import (
    SeanetLayers,
    assign_,
    bias,
    branch,
    carry,
    check_kind,
    cleared,
    collect,
    cosine_basis,
    deal,
    full_weight,
    inner,
)
from encodec_lab.modules.vocoder_latent import (
    LARGEST_COEFFICIENT,
    LEVEL_CENTRE_DB,
    LEVEL_SCALE,
    LOUDEST_DB,
    NUM_BANDS,
    VocoderShape,
    compand,
    expand,
    scaled_level,
)

# Signals within the network, and what lifts them above zero but for the loudest peaks, which ELU then bends a little.
_SAMPLE_SCALE = 0.5
_COEFFICIENT_SCALE = 0.125
_LIFT = 0.15

_ENCODER_SHARPNESS = 300.0  # a rectifier's corner is a three-hundredth wide
_DECODER_SHARPNESS = 30.0
_COMPANDING_SCALES = torch.logspace(math.log10(0.2), math.log10(150.0), 5)
_LEVEL_SCALES = torch.logspace(math.log10(0.3), math.log10(2500.0), 8)
_EXPANSION_KNOTS = torch.tensor([0.0, 0.1, 0.3, 0.7, 1.2, 1.8])
_EXPANSION_SCALES = 3.0 / (_EXPANSION_KNOTS + 0.15)


@torch.no_grad()
def start_as_transform_vocoder_(encoder: SeanetEncoder, decoder: SeanetDecoder) -> None:
    """Give both their first weights: those of `preserve_signal_`, with transform and vocoder in some of the channels.

    The latent's first dimensions are the companded low coefficients (see `compand`), the last 12 the levels of the
    bands (`scaled_level`), all times `VocoderShape.weights`.

    Raises:
        ValueError: the networks are not causal, mono and weight normalised without an LSTM, end in other strides than
            1, or have too few channels.
    """
    check_kind(encoder, decoder, "a transform vocoder")
    preserve_signal_(encoder)
    preserve_signal_(decoder)
    down = SeanetLayers(encoder)
    up = SeanetLayers(decoder)
    strides = [conv.stride[0] for conv in down.strided]
    shape = VocoderShape(math.prod(strides), down.last.out_channels - NUM_BANDS)
    num_projections = _check_room(shape, down, up, strides)
    phase_counts = [1]  # channels that a block is dealt out to, by layer
    for stride in strides[:-2]:
        phase_counts.append(phase_counts[-1] * stride)

    carry(down.first, 1, _SAMPLE_SCALE)
    bias(down.first)[0] = _LIFT
    carry(up.last, 1, 1 / _SAMPLE_SCALE)
    bias(up.last)[0] = -_LIFT / _SAMPLE_SCALE
    for index, stride in enumerate(strides[:-2]):
        dealt = torch.eye(phase_counts[index + 1])
        deal(down.strided[index], stride, dealt)
        collect(up.strided[index], stride, dealt)
    for units, count in zip(down.units[:-1], phase_counts, strict=True):
        _let_through(units, count)
    for units, count in zip(up.units[1:], reversed(phase_counts), strict=True):
        _let_through(units, count)
    _start_encoder_tail(down, strides[-2], shape, num_projections)
    _start_decoder_head(up, strides[-2], shape, phase_counts[-1])
    assign_(down.last, full_weight(down.last) * shape.weights[:, None, None])
    bias(down.last).mul_(shape.weights)
    assign_(up.first, full_weight(up.first) / shape.weights[:, None])


def _check_room(shape: VocoderShape, down: SeanetLayers, up: SeanetLayers, strides: list[int]) -> int:
    """Check that all has a place; returns how many samples of each band the encoder can rectify."""
    if len(strides) < 2 or strides[-1] != 1:
        raise ValueError(
            f"strides {strides}: a transform vocoder needs a last one of 1, for layers at the frame rate"
        )
    if shape.num_low < 1 or min(end - start for start, end in shape.bands) < 1:
        raise ValueError(
            f"a latent of {shape.num_low + NUM_BANDS} for blocks of {shape.hop_length} samples: a transform vocoder "
            f"needs {NUM_BANDS} dimensions for bands, and the others for coefficients that leave bands of at least one"
        )
    transform = down.strided[-2]
    num_projections = (transform.out_channels // 2 - shape.num_low) // NUM_BANDS
    needed = {
        "the layer of the transform": (2 * (shape.num_low + 2 * NUM_BANDS), transform.out_channels),
        "the layer before the transform": (math.prod(strides[:-2]), transform.in_channels),
        "a residual unit at the frame rate": (
            2 * shape.num_low * len(_EXPANSION_KNOTS),
            branch(up.units[0][0])[0].out_channels,
        ),
        "the widest layer": (
            2 * shape.num_low * len(_COMPANDING_SCALES) + NUM_BANDS * len(_LEVEL_SCALES),
            down.strided[-1].out_channels,
        ),
    }
    for place, (wanted, channels) in needed.items():
        if channels < wanted:
            raise ValueError(
                f"{place} has {channels} channels, but a transform vocoder needs {wanted}: use more num_filters, or a "
                "smaller compress or latent_dim"
            )
    return num_projections


def _analysis(shape: VocoderShape, num_projections: int) -> Tensor:
    """[N, hop]: the low coefficients, then of each band its coefficients, or fewer projections of equal power."""
    generator = torch.Generator().manual_seed(0)
    cosines = cosine_basis(shape.hop_length)
    rows = [cosines[: shape.num_low]]
    for start, end in shape.bands:
        width = end - start
        if width <= num_projections:
            rows.append(cosines[start:end])
        else:
            mix, _ = torch.linalg.qr(torch.randn(width, num_projections, generator=generator))
            rows.append(mix.T @ cosines[start:end])
    return torch.cat(rows)


def _carriers(shape: VocoderShape) -> Tensor:
    """[bands, hop]: coefficients of one and random sign; a noise, the same in every block."""
    generator = torch.Generator().manual_seed(0)
    signs = 2.0 * torch.randint(2, (shape.hop_length, 1), generator=generator) - 1
    signed = signs * cosine_basis(shape.hop_length)
    return torch.stack([signed[start:end].sum(0) for start, end in shape.bands])


def _start_encoder_tail(layers: SeanetLayers, stride: int, shape: VocoderShape, num_projections: int) -> None:
    """From the phases of a block, at the sample scale and lifted, to the latent."""
    num_low = shape.num_low
    analysis = _ENCODER_SHARPNESS / _SAMPLE_SCALE * _analysis(shape, num_projections)
    rectified = torch.stack([analysis, -analysis], dim=1).flatten(0, 1)  # by the ELU behind
    transform = layers.strided[-2]
    deal(transform, stride, rectified)
    bias(transform)[: len(rectified)] = -_LIFT * rectified.sum(1)
    # Out of the unit come the two halves of each coefficient, and the mean size of a band's projections.
    num_halves = 2 * num_low
    counts = [2 * min(num_projections, end - start) for start, end in shape.bands]
    unit = layers.units[-1][0]
    widening, narrowing = branch(unit)
    values = cleared(widening, num_halves + NUM_BANDS)
    values[:num_halves, :num_halves, -1] = torch.eye(num_halves) / _ENCODER_SHARPNESS
    first = num_halves
    for band, count in enumerate(counts):
        values[num_halves + band, first : first + count, -1] = 2 / (_ENCODER_SHARPNESS * count)
        first += count
    assign_(widening, values)
    carry(narrowing, num_halves + NUM_BANDS, 1.0)
    shortcut = inner(unit.shortcut)
    assign_(shortcut, cleared(shortcut, num_halves + NUM_BANDS))
    _let_through(layers.units[-1][1:], num_halves + NUM_BANDS)

    points = torch.logspace(math.log10(1e-4), math.log10(LARGEST_COEFFICIENT), 400)
    companding = elu_fits.fit_odd(
        compand, points, _ENCODER_SHARPNESS, -_COMPANDING_SCALES, torch.zeros_like(_COMPANDING_SCALES)
    )
    levels = elu_fits.fit(scaled_level, points, _mean_sizes(points), -_LEVEL_SCALES)
    num_companding, num_level = len(companding.scales), len(levels.scales)
    num_first = num_halves * num_companding
    strided = layers.strided[-1]
    values = cleared(strided, num_first + NUM_BANDS * num_level)
    for channel in range(num_halves):
        values[channel * num_companding : (channel + 1) * num_companding, channel, -1] = companding.scales
    for band in range(NUM_BANDS):
        first = num_first + band * num_level
        values[first : first + num_level, num_halves + band, -1] = levels.scales
    assign_(strided, values)
    values = cleared(layers.last, num_low + NUM_BANDS)
    for row in range(num_low):
        first = 2 * row * num_companding
        values[row, first : first + 2 * num_companding, -1] = torch.cat(
            [companding.weights, -companding.weights]
        )
    for band in range(NUM_BANDS):
        first = num_first + band * num_level
        values[num_low + band, first : first + num_level, -1] = levels.weights
    assign_(layers.last, values)
    bias(layers.last)[num_low:] = levels.offset


def _start_decoder_head(layers: SeanetLayers, stride: int, shape: VocoderShape, num_phases: int) -> None:
    """From the latent to the phases of a block, at the sample scale and lifted."""
    num_low = shape.num_low
    num_halves = 2 * num_low
    loudest = 10 ** (LOUDEST_DB / 20)
    nepers = math.log(10) / 20
    bands = slice(num_halves, num_halves + NUM_BANDS)
    values = cleared(layers.first, num_halves + NUM_BANDS)
    values[0:num_halves:2, :num_low, -1] = _DECODER_SHARPNESS * torch.eye(num_low)
    values[1:num_halves:2, :num_low, -1] = -_DECODER_SHARPNESS * torch.eye(num_low)
    values[bands, num_low:, -1] = nepers / LEVEL_SCALE * torch.eye(NUM_BANDS)
    assign_(layers.first, values)
    bias(layers.first)[bands] = -nepers * (LEVEL_CENTRE_DB + LOUDEST_DB)
    # ELU gives amplitudes less one, of the loudest.
    strided = layers.strided[-1]
    values = full_weight(strided)  # [in, out, 2]
    values[:, : bands.stop] = 0.0
    values[: bands.stop] = 0.0
    values[:num_halves, :num_halves, 0] = torch.eye(num_halves) / _DECODER_SHARPNESS
    values[bands, bands, 0] = _COEFFICIENT_SCALE * loudest * torch.eye(NUM_BANDS)
    assign_(strided, values)
    bias(strided)[bands] = _COEFFICIENT_SCALE * loudest

    points = torch.linspace(1e-3, float(compand(torch.tensor(LARGEST_COEFFICIENT))), 800)
    expansion = elu_fits.fit_odd(
        expand, points, _DECODER_SHARPNESS, _EXPANSION_SCALES, -_EXPANSION_SCALES * _EXPANSION_KNOTS
    )
    num_terms = len(expansion.scales)
    unit = layers.units[0][0]
    widening, narrowing = branch(unit)
    values = cleared(widening, num_halves * num_terms)
    for channel in range(num_halves):
        terms = slice(channel * num_terms, (channel + 1) * num_terms)
        values[terms, channel, -1] = expansion.scales
        bias(widening)[terms] = expansion.biases
    assign_(widening, values)
    # Out of the unit come coefficients, lifted, amplitudes, and what takes the lift away again.
    num_signals = num_low + NUM_BANDS + 1
    values = cleared(narrowing, num_signals)
    for row in range(num_low):
        first = 2 * row * num_terms
        values[row, first : first + 2 * num_terms, 0] = _COEFFICIENT_SCALE * torch.cat(
            [expansion.weights, -expansion.weights]
        )
    assign_(narrowing, values)
    bias(narrowing)[:num_low] = _LIFT
    bias(narrowing)[num_signals - 1] = _LIFT
    shortcut = inner(unit.shortcut)
    values = cleared(shortcut, num_signals)
    values[num_low : num_low + NUM_BANDS, bands, 0] = torch.eye(NUM_BANDS)
    assign_(shortcut, values)
    _let_through(layers.units[0][1:], num_signals)
    low = cosine_basis(shape.hop_length)[:num_low]
    synthesis = torch.cat([low, _carriers(shape), -low.sum(0, keepdim=True)])
    transform = layers.strided[-2]
    collect(transform, stride, _SAMPLE_SCALE / _COEFFICIENT_SCALE * synthesis)
    bias(transform)[:num_phases] = _LIFT


def _mean_sizes(rms: Tensor) -> Tensor:
    """What the encoder's rectifiers give, on average, for normal variables of this RMS [N]."""
    quantiles = torch.special.ndtri((torch.arange(64) + 0.5) / 64)
    values = rms[:, None] * quantiles
    halves = (elu_fits.rectified(side * values, _ENCODER_SHARPNESS) for side in (1, -1))
    return torch.stack(list(halves)).sum(0).mean(1)


def _let_through(units: list[ResidualUnit], num_signals: int) -> None:
    """Let the first signals through residual units, which at first add nothing to them."""
    for unit in units:
        carry(inner(unit.shortcut), num_signals, 1.0)
        conv = branch(unit)[1]
        assign_(conv, cleared(conv, num_signals))
