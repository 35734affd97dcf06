"""What the starts that make a codec out of an untrained SEANet share: they write single weights of its layers."""

import itertools
import math

import torch
from torch import Tensor, nn

from encodec_lab.modules.conv import PaddedConv1d, TrimmedConvTranspose1d
from encodec_lab.modules.seanet import ResidualUnit, SeanetDecoder, SeanetEncoder
from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

NormedConv = WeightNormConv1d | WeightNormConvTranspose1d


class SeanetLayers:
    """The convolutions of one side of a SEANet.

    Attributes:
        first: of the network.
        last: of the network.
        strided: those with strides, from the waveform down on either side.
        units: runs of residual units, in the network's order.
    """

    def __init__(self, network: SeanetEncoder | SeanetDecoder) -> None:
        plain = [inner(layer) for layer in network.model if isinstance(layer, PaddedConv1d)]
        transposed = [inner(layer) for layer in network.model if isinstance(layer, TrimmedConvTranspose1d)]
        self.first, *middle, self.last = plain
        self.strided = middle or transposed[::-1]
        runs = itertools.groupby(network.model, lambda layer: isinstance(layer, ResidualUnit))
        self.units = [
            [unit for unit in run if isinstance(unit, ResidualUnit)] for is_unit, run in runs if is_unit
        ]


def check_kind(encoder: SeanetEncoder, decoder: SeanetDecoder, start: str) -> None:
    """Check that a start can write the weights of these networks.

    Raises:
        ValueError: they are not causal, mono and weight normalised, have an LSTM, or no residual units; the message
            says that a codec can start as `start` if it is.
    """
    kinds = (PaddedConv1d, TrimmedConvTranspose1d, ResidualUnit, nn.ELU)
    layers = [*encoder.model, *decoder.model]
    convs = [
        conv
        for layer in layers
        for conv in layer.modules()
        if isinstance(conv, nn.Conv1d | nn.ConvTranspose1d)
    ]
    is_causal = all(layer.causal for layer in layers if isinstance(layer, PaddedConv1d))
    if not any(isinstance(layer, ResidualUnit) for layer in layers):
        raise ValueError(f"a codec can start as {start} if it has residual units")
    if (
        not is_causal
        or not all(isinstance(layer, kinds) for layer in layers)
        or not all(isinstance(conv, NormedConv) for conv in convs)
        or convs[0].in_channels != 1
    ):
        raise ValueError(
            f"a codec can start as {start} if it is causal, mono, weight normalised and without LSTM"
        )


def cosine_basis(size: int) -> Tensor:
    """[size, size]: the orthonormal DCT-II of a block, a coefficient a row."""
    time = torch.arange(size) + 0.5
    basis = math.sqrt(2 / size) * torch.cos(torch.pi / size * torch.arange(size)[:, None] * time)
    basis[0] /= math.sqrt(2)
    return basis


def deal(conv: NormedConv, stride: int, analysis: Tensor) -> None:
    """Make a stride turn the phases of a block into N signals; `analysis` [N, stride * phases] is in time order."""
    rows = _by_phase(analysis, stride)
    values = cleared(conv, len(rows))  # [out, in, 2 * stride]
    values[: len(rows), : rows.shape[1], stride:] = rows  # the newer half of what it sees
    assign_(conv, values)


def collect(conv: NormedConv, stride: int, synthesis: Tensor) -> None:
    """Make a transposed one turn N signals into phases of a block, as `synthesis` [N, stride * phases] says."""
    rows = _by_phase(synthesis, stride)
    values = full_weight(conv)  # [in, out, 2 * stride]
    values[:, : rows.shape[1]] = 0.0
    values[: len(rows), : rows.shape[1], :stride] = rows
    assign_(conv, values)


def _by_phase(rows: Tensor, stride: int) -> Tensor:
    """[N, stride * phases] -> [N, phases, stride]: what was phase q at time m is sample phases * m + q of a block."""
    return rows.view(len(rows), stride, -1).transpose(1, 2)


def inner(layer: nn.Module) -> NormedConv:
    """The convolution in a layer that pads or trims."""
    assert isinstance(layer, PaddedConv1d | TrimmedConvTranspose1d)
    conv = layer.conv.conv if isinstance(layer, PaddedConv1d) else layer.convtr.convtr
    assert isinstance(conv, NormedConv)
    return conv


def branch(unit: ResidualUnit) -> tuple[NormedConv, NormedConv]:
    """The two convolutions of a unit's branch."""
    return inner(unit.block[1]), inner(unit.block[3])


def full_weight(conv: NormedConv) -> Tensor:
    """A copy of the weight."""
    return torch._weight_norm(conv.weight_v, conv.weight_g, 0)


def bias(conv: NormedConv) -> Tensor:
    """The bias [out], to be written to."""
    assert conv.bias is not None
    return conv.bias


def cleared(conv: NormedConv, num_outputs: int) -> Tensor:
    """The weight [out, in, kernel], with nothing in the rows of the first outputs."""
    weight = full_weight(conv)
    weight[:num_outputs] = 0.0
    return weight


def assign_(conv: NormedConv, weight: Tensor) -> None:
    """Set the weight, with a direction of norm one: small ones an optimizer would turn over in a few steps."""
    norms = torch.norm_except_dim(weight, 2, 0)
    directions = torch.where(norms > 0, weight, conv.weight_v)
    conv.weight_v.copy_(directions / torch.norm_except_dim(directions, 2, 0))
    conv.weight_g.copy_(norms)


def carry(conv: NormedConv, num_signals: int, scale: float) -> None:
    """Make the first outputs of a causal convolution the newest of the first inputs, times `scale`."""
    weight = cleared(conv, num_signals)
    weight[:num_signals, :num_signals, -1] = scale * torch.eye(num_signals)
    assign_(conv, weight)
