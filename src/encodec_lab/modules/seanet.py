"""SEANet encoder and decoder (Tagliasacchi et al. 2020; EnCodec, arXiv 2210.13438, section 3.1).

Both are flat `nn.Sequential`s called `model`, in the reference's order, so that their parameter names agree.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from encodec_lab.modules.conv import Norm, PaddedConv1d, TrimmedConvTranspose1d
from encodec_lab.modules.lstm import SkipLSTM


@dataclass(frozen=True)
class SeanetShape:
    """What the encoder and the decoder have in common.

    Attributes:
        channels: audio channels.
        latent_dim: dimension of the latent that is quantised.
        num_filters: channels of the first encoder convolution; they double at every stride.
        strides: of the encoder's blocks from the waveform down; the decoder goes through them backwards.
        num_residual_units: residual units per block, with dilations dilation_base ** unit.
        kernel_size: of the first convolution on either side.
        last_kernel_size: of the last convolution on either side.
        residual_kernel_size: of the first convolution of a residual unit.
        dilation_base: see `num_residual_units`.
        compress: the hidden dimension of a residual unit is its dimension over this.
        num_lstm_layers: layers of the LSTM at the lowest rate; 0 for none.
        causal: pad the past only.
        norm: normalisation of all convolutions.
    """

    channels: int
    latent_dim: int
    num_filters: int
    strides: tuple[int, ...]
    num_residual_units: int
    kernel_size: int
    last_kernel_size: int
    residual_kernel_size: int
    dilation_base: int
    compress: int
    num_lstm_layers: int
    causal: bool
    norm: Norm

    def conv(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1
    ) -> PaddedConv1d:
        """A convolution of this network."""
        return PaddedConv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            causal=self.causal,
            norm=self.norm,
        )

    def residual_units(self, dimension: int) -> list[nn.Module]:
        """The residual units of one block."""
        return [
            ResidualUnit(self, dimension, self.dilation_base**unit) for unit in range(self.num_residual_units)
        ]

    def lstm(self, dimension: int) -> list[nn.Module]:
        """The LSTM, or nothing."""
        return [SkipLSTM(dimension, self.num_lstm_layers)] if self.num_lstm_layers else []


class ResidualUnit(nn.Module):
    """[B, D, T] -> [B, D, T]: two convolutions through a narrower layer, beside a 1x1 convolution as the skip path."""

    def __init__(self, shape: SeanetShape, dimension: int, dilation: int) -> None:
        super().__init__()
        hidden = dimension // shape.compress
        self.block = nn.Sequential(
            nn.ELU(),
            shape.conv(dimension, hidden, shape.residual_kernel_size, dilation=dilation),
            nn.ELU(),
            shape.conv(hidden, dimension, 1),
        )
        self.shortcut = shape.conv(dimension, dimension, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.block(x)
        return out


class SeanetEncoder(nn.Module):
    """Waveform [B, C, T] -> latent [B, D, ceil(T / product of strides)]."""

    def __init__(self, shape: SeanetShape) -> None:
        super().__init__()
        dimension = shape.num_filters
        layers: list[nn.Module] = [shape.conv(shape.channels, dimension, shape.kernel_size)]
        for stride in shape.strides:
            layers += shape.residual_units(dimension)
            layers += [nn.ELU(), shape.conv(dimension, 2 * dimension, 2 * stride, stride=stride)]
            dimension *= 2
        layers += shape.lstm(dimension)
        layers += [nn.ELU(), shape.conv(dimension, shape.latent_dim, shape.last_kernel_size)]
        self.model = nn.Sequential(*layers)

    def forward(self, wav: Tensor) -> Tensor:
        latent: Tensor = self.model(wav)
        return latent


class SeanetDecoder(nn.Module):
    """Latent [B, D, L] -> waveform [B, C, L * product of strides]."""

    def __init__(self, shape: SeanetShape) -> None:
        super().__init__()
        dimension = shape.num_filters * 2 ** len(shape.strides)
        layers: list[nn.Module] = [shape.conv(shape.latent_dim, dimension, shape.kernel_size)]
        layers += shape.lstm(dimension)
        for stride in reversed(shape.strides):
            layers += [
                nn.ELU(),
                TrimmedConvTranspose1d(
                    dimension,
                    dimension // 2,
                    2 * stride,
                    stride=stride,
                    causal=shape.causal,
                    norm=shape.norm,
                ),
            ]
            dimension //= 2
            layers += shape.residual_units(dimension)
        layers += [nn.ELU(), shape.conv(dimension, shape.channels, shape.last_kernel_size)]
        self.model = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        wav: Tensor = self.model(latent)
        return wav
