"""The multi-scale STFT discriminator [EnCodec §3.4, figure 2]: one convolutional network per STFT resolution."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from encodec_lab.discriminators.few_channels_conv import FewChannelsConv2d
from encodec_lab.modules.weight_norm import WeightNormConv2d

_KERNEL = (3, 9)  # STFT frames x frequency bins
_SMALL_KERNEL = (3, 3)
_FREQUENCY_STRIDE = 2
_TIME_DILATIONS = (1, 2, 4)


class ScaleOutput(NamedTuple):
    """What one scale says of a batch; the channels of an item are neighbouring rows.

    Attributes:
        logits: [B*C, 1, S, F'] high where the audio looks real; F' is the number of bins after three halvings.
        features: five maps [B*C, num_filters, S, F''], from the input side to the output side.
    """

    logits: Tensor
    features: list[Tensor]


class StftDiscriminator(nn.Module):
    """One scale: a complex STFT, its real and imaginary part as channels, then six weight-normed 2-D convolutions.

    The STFT has a periodic Hann window, a hop of a quarter window, no centring, and is divided by the window's norm.

    Args:
        window_length: in samples, a positive multiple of 4; also the FFT size.
        num_filters: channels of every convolution but the last.
        leaky_relu_slope: slope of the activation below zero.
    """

    window: Tensor

    def __init__(self, window_length: int, num_filters: int, leaky_relu_slope: float) -> None:
        super().__init__()
        if window_length < 4 or window_length % 4:
            raise ValueError(
                f"window length {window_length}: the hop is a quarter of it, use a positive multiple of 4"
            )
        if num_filters < 1:
            raise ValueError(f"num_filters {num_filters}: use at least 1")
        if leaky_relu_slope < 0:
            raise ValueError(f"leaky_relu_slope {leaky_relu_slope}: use 0 or more")
        self.window_length = window_length
        self.leaky_relu_slope = leaky_relu_slope
        window = torch.hann_window(window_length)
        self.register_buffer("window", window / window.norm(), persistent=False)
        first = FewChannelsConv2d(2, num_filters, kernel_size=_KERNEL, padding=_same_padding(_KERNEL, 1))
        convs: list[WeightNormConv2d] = [first]
        for dilation in _TIME_DILATIONS:
            convs.append(
                WeightNormConv2d(
                    num_filters,
                    num_filters,
                    kernel_size=_KERNEL,
                    stride=(1, _FREQUENCY_STRIDE),
                    dilation=(dilation, 1),
                    padding=_same_padding(_KERNEL, dilation),
                )
            )
        convs.append(
            WeightNormConv2d(
                num_filters, num_filters, kernel_size=_SMALL_KERNEL, padding=_same_padding(_SMALL_KERNEL, 1)
            )
        )
        self.convs = nn.ModuleList(convs)
        self.logits_conv = WeightNormConv2d(
            num_filters, 1, kernel_size=_SMALL_KERNEL, padding=_same_padding(_SMALL_KERNEL, 1)
        )

    def forward(self, wav: Tensor) -> ScaleOutput:
        """Judge single-channel audio [N, T] with T >= window_length; see `ScaleOutput` (B*C is N)."""
        spectrum = torch.stft(
            wav.to(self.window.dtype),  # the FFT has no bfloat16
            self.window_length,
            hop_length=self.window_length // 4,
            window=self.window,
            center=False,
            return_complex=True,
        )
        hidden = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # [N, F, S, 2] -> [N, 2, S, F]
        features = []
        for conv in self.convs:
            # In place: neither this nor the convolution needs what there was before.
            hidden = functional.leaky_relu_(conv(hidden), self.leaky_relu_slope)
            features.append(hidden)
        return ScaleOutput(self.logits_conv(hidden), features)


class MultiScaleStftDiscriminator(nn.Module):
    """A `StftDiscriminator` per window length [EnCodec §3.4].

    Every convolution is weight-normed; the authors' code leaves the first one out, by omission. The channels of
    stereo audio are judged separately, as the paper says, by folding them into the batch.

    Args:
        window_lengths: of each scale, in samples, positive multiples of 4.
        num_filters: channels of every convolution but the last.
        leaky_relu_slope: slope of the activation below zero.

    Raises:
        ValueError: for no scale, or a value out of range.
    """

    def __init__(self, window_lengths: Sequence[int], num_filters: int, leaky_relu_slope: float) -> None:
        super().__init__()
        if not window_lengths:
            raise ValueError("window_lengths is empty: give one window length per scale")
        self.min_length_samples = max(window_lengths)
        self.window_lengths = list(window_lengths)
        self.num_filters = num_filters
        self.leaky_relu_slope = leaky_relu_slope
        self.scales = nn.ModuleList(
            StftDiscriminator(window_length, num_filters, leaky_relu_slope)
            for window_length in window_lengths
        )

    def forward(self, wav: Tensor) -> list[ScaleOutput]:
        """Judge audio [B, C, T]; one `ScaleOutput` per window length, in the order given.

        Raises:
            ValueError: for another number of axes, or audio shorter than the longest window.
        """
        if wav.dim() != 3:
            raise ValueError(f"audio of shape {tuple(wav.shape)}: give [batch, channels, samples]")
        if wav.shape[-1] < self.min_length_samples:
            raise ValueError(
                f"audio of {wav.shape[-1]} samples is shorter than the longest window: "
                f"give at least {self.min_length_samples}"
            )
        rows = wav.flatten(0, 1)  # [B*C, T]
        return [scale(rows) for scale in self.scales]


def _same_padding(kernel: tuple[int, int], time_dilation: int) -> tuple[int, int]:
    """The padding that keeps the size at stride 1, for an odd kernel."""
    return (kernel[0] - 1) * time_dilation // 2, (kernel[1] - 1) // 2
