"""Codecs rewritten so that tracing keeps every length open: what is computed from a length stays in the graph."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.conv import PaddedConv1d
from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d
from encodec_lab.quantization.residual_vq import ResidualVectorQuantizer

Conv = TypeVar("Conv", nn.Conv1d, nn.ConvTranspose1d)


class TraceableConv1d(nn.Module):
    """`PaddedConv1d` without a branch: [B, in, T] -> [B, out, ceil(T / stride)].

    Under tracing the shape of a tensor is a tensor, and `if` and `max` of Python would make constants of it.
    """

    def __init__(self, padded: PaddedConv1d) -> None:
        super().__init__()
        self.conv = padded.conv
        self.stride = padded.stride
        num_padding = padded.effective_kernel_size - padded.stride
        self.right = 0 if padded.causal else num_padding // 2
        self.left = num_padding - self.right

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[-1] + torch.zeros((), dtype=torch.long)
        right = self.right + (-length) % self.stride
        # As in `reflect_pad`: what is too short to reflect is first extended by zeros, here perhaps by none.
        shortage = (right.clamp(min=self.left) + 1 - length).clamp(min=0)
        extended = functional.pad(x, (0, shortage))  # type: ignore[arg-type]
        padded = functional.pad(extended, (self.left, right), mode="reflect")  # type: ignore[arg-type]
        convolved: Tensor = self.conv(padded[..., : length + self.left + right])
        return convolved


class TraceableQuantizer(nn.Module):
    """The quantiser, whose `decode` takes any number of codebooks from one graph."""

    def __init__(self, quantizer: ResidualVectorQuantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def encode(self, latent: Tensor, num_codebooks: int) -> Tensor:
        """[B, D, L] -> [B, K, L]."""
        return self.quantizer.encode(latent, num_codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, K, L] -> [B, D, L]: codebooks that are not among the K get a code whose entry is zero.

        The sum is then over all codebooks, in the order of `ResidualVectorQuantizer.decode`.
        """
        codebooks = self.quantizer.codebooks
        no_code = self.quantizer.codebook_size
        absent = torch.full_like(codes[:, :1], no_code).expand(-1, len(codebooks), -1)
        codes = torch.cat([codes, absent], dim=1)
        latent = torch.zeros(())
        for k, codebook in enumerate(codebooks):
            entries = torch.cat([codebook.embed, torch.zeros_like(codebook.embed[:1])])
            latent = latent + functional.embedding(codes[:, k], entries).transpose(1, 2)
        return latent


class EncoderGraph(nn.Module):
    """Waveform [B, C, T] -> codes [B, K, L] and, if the codec normalises, scale [B, 1]."""

    def __init__(self, codec: EncodecModel) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, wav: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        codes, scale = self.codec.encode(wav)[0]
        return codes if scale is None else (codes, scale)


class DecoderGraph(nn.Module):
    """Codes [B, K, L] and, if the codec normalises, scale [B, 1] -> waveform [B, C, L * hop length]."""

    def __init__(self, codec: EncodecModel) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, codes: Tensor, scale: Tensor | None = None) -> Tensor:
        return self.codec.decode([(codes, scale)])


def whole_codec(codec: EncodecModel) -> EncodecModel:
    """A copy that takes what it is given as one segment: cutting and joining are for the caller."""
    whole = copy.deepcopy(codec).cpu().eval()
    whole.segment_length = whole.segment_stride = None
    return whole


def traceable(codec: EncodecModel) -> EncodecModel:
    """A copy for tracing, of one segment, with weights in place of weight normalisation."""
    copied = whole_codec(codec)
    _replace(copied, PaddedConv1d, TraceableConv1d)
    _replace(copied, WeightNormConv1d, _plain_conv)
    _replace(copied, WeightNormConvTranspose1d, _plain_conv_transpose)
    _replace(copied, ResidualVectorQuantizer, TraceableQuantizer)
    return copied


def _replace(module: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            _replace(child, kind, make)


def _plain_conv(normed: WeightNormConv1d) -> nn.Conv1d:
    return _with_weight(
        nn.Conv1d(
            normed.in_channels,
            normed.out_channels,
            normed.kernel_size,  # type: ignore[arg-type]
            normed.stride,  # type: ignore[arg-type]
            dilation=normed.dilation,  # type: ignore[arg-type]
        ),
        normed,
    )


def _plain_conv_transpose(normed: WeightNormConvTranspose1d) -> nn.ConvTranspose1d:
    return _with_weight(
        nn.ConvTranspose1d(
            normed.in_channels,
            normed.out_channels,
            normed.kernel_size,  # type: ignore[arg-type]
            normed.stride,  # type: ignore[arg-type]
        ),
        normed,
    )


def _with_weight(conv: Conv, normed: WeightNormConv1d | WeightNormConvTranspose1d) -> Conv:
    conv.weight = nn.Parameter(torch._weight_norm(normed.weight_v, normed.weight_g, 0).detach())
    conv.bias = normed.bias
    return conv
