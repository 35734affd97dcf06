"""1-D convolutions that pad themselves, causal or not, with weight or group normalisation (SEANet's building block).

The module names `conv`, `convtr` and `norm` make the parameter names of the reference implementation.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

Norm = Literal["weight_norm", "time_group_norm"]


def reflect_pad(x: Tensor, left: int, right: int) -> Tensor:
    """Reflect [..., T] to [..., left + T + right]; inputs too short to reflect are first extended by zeros."""
    if left == right == 0:
        return x
    shortage = max(left, right) + 1 - x.shape[-1]
    if shortage <= 0:
        return functional.pad(x, (left, right), mode="reflect")
    padded = functional.pad(functional.pad(x, (0, shortage)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - shortage]


def _group_norm(norm: Norm, channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels) if norm == "time_group_norm" else nn.Identity()


class NormConv1d(nn.Module):
    """A convolution [B, in, T] -> [B, out, T'] with its normalisation, without padding."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, dilation: int, norm: Norm
    ) -> None:
        super().__init__()
        conv_class = WeightNormConv1d if norm == "weight_norm" else nn.Conv1d
        self.conv = conv_class(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation)
        self.norm = _group_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x))
        return normed


class NormConvTranspose1d(nn.Module):
    """A transposed convolution [B, in, L] -> [B, out, (L - 1) * stride + kernel] with its normalisation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, norm: Norm
    ) -> None:
        super().__init__()
        conv_class = WeightNormConvTranspose1d if norm == "weight_norm" else nn.ConvTranspose1d
        self.convtr = conv_class(in_channels, out_channels, kernel_size, stride=stride)
        self.norm = _group_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.convtr(x))
        return normed


class PaddedConv1d(nn.Module):
    """A convolution [B, in, T] -> [B, out, ceil(T / stride)] with reflect padding.

    A causal one pads only the past (and, for the last frame to be whole, less than a stride of the future).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        causal: bool,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.conv = NormConv1d(in_channels, out_channels, kernel_size, stride, dilation, norm)
        self.stride = stride
        self.causal = causal
        self.effective_kernel_size = (kernel_size - 1) * dilation + 1

    def forward(self, x: Tensor) -> Tensor:
        num_padding = self.effective_kernel_size - self.stride
        num_to_whole_frame = -x.shape[-1] % self.stride
        right = 0 if self.causal else num_padding // 2
        convolved: Tensor = self.conv(reflect_pad(x, num_padding - right, right + num_to_whole_frame))
        return convolved


class TrimmedConvTranspose1d(nn.Module):
    """A transposed convolution [B, in, L] -> [B, out, L * stride]; a causal one is trimmed only at the end."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int, causal: bool, norm: Norm
    ) -> None:
        super().__init__()
        self.convtr = NormConvTranspose1d(in_channels, out_channels, kernel_size, stride, norm)
        num_trimmed = kernel_size - stride
        self.num_trimmed_right = num_trimmed if causal else num_trimmed // 2
        self.num_trimmed_left = num_trimmed - self.num_trimmed_right

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convtr(x)
        return y[..., self.num_trimmed_left : y.shape[-1] - self.num_trimmed_right]
