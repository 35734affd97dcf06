"""SEANet for inference, piece by piece: the outputs of all pieces, joined, are what the network gives on the whole.

    layers = StreamingSequence(model.encoder.model)
    stream = layers.fresh()
    latents = [stream(piece, is_last=False) for piece in pieces] + [stream(empty, is_last=True)]

Layers work on [B, T, C], time before channels, with weights that are laid out once, when the layer is made: weight
normalisation is folded in. An ELU writes straight to where the next convolution wants its padded input. A layer keeps
what later outputs need of earlier inputs; `fresh` gives one that has the same weights and nothing kept. One that is not
causal takes a segment whole, as one piece that is the last. Sums may be grouped otherwise than in the modules that
layers are made from, so last bits may differ. Called without gradients.
"""

import copy
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from encodec_lab.modules.conv import PaddedConv1d, TrimmedConvTranspose1d, reflect_pad
from encodec_lab.modules.fast_elu import elu_into
from encodec_lab.modules.lstm import SkipLSTM
from encodec_lab.modules.packed_conv import FewChannelsConv1d, PackedConv1d
from encodec_lab.modules.seanet import ResidualUnit
from encodec_lab.modules.streaming_lstm import StreamingSkipLSTM
from encodec_lab.modules.time_norm import normalize_
from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

# Up to here a convolution computes several steps at a time, to fill the processor's vectors.
_FEW_CHANNELS = 4


class StreamingLayer(Protocol):
    """Maps the next piece [B, T, in], T >= 0, to all outputs [B, T', out] that are certain after it."""

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        """`is_last` says that nothing follows: all outputs that are left come now."""
        ...

    def fresh(self) -> Self:
        """The same layer at the start of another stream."""
        ...


def streaming_layer(module: nn.Module, after_elu: bool = False) -> StreamingLayer:
    """The streaming counterpart of a layer of SEANet, or of that layer and the ELU before it."""
    if isinstance(module, PaddedConv1d):
        return StreamingConv1d(module, after_elu)
    if isinstance(module, TrimmedConvTranspose1d):
        return StreamingConvTranspose1d(module, after_elu)
    assert not after_elu, f"no ELU comes before {type(module).__name__}"
    if isinstance(module, ResidualUnit):
        return StreamingResidualUnit(module)
    assert isinstance(module, SkipLSTM), f"no streaming counterpart of {type(module).__name__}"
    return StreamingSkipLSTM(module)


class StreamingSequence:
    """Layers one after the other; every ELU among them is done by the layer that follows it."""

    def __init__(self, offline: nn.Sequential) -> None:
        self.layers: list[StreamingLayer] = []
        after_elu = False
        for module in offline:
            if isinstance(module, nn.ELU):
                after_elu = True
            else:
                self.layers.append(streaming_layer(module, after_elu))
                after_elu = False
        assert not after_elu, "an ELU must be followed by a convolution"

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        for layer in self.layers:
            x = layer(x, is_last)
        return x

    def fresh(self) -> "StreamingSequence":
        """The same layers at the start of another stream."""
        return self.of([layer.fresh() for layer in self.layers])

    @classmethod
    def of(cls, layers: list[StreamingLayer]) -> "StreamingSequence":
        """A sequence of layers that exist."""
        sequence = cls(nn.Sequential())
        sequence.layers = layers
        return sequence


class StreamingConv1d:
    """`PaddedConv1d`.

    The padding on the left reflects the first samples, so nothing comes out before kernel - stride + 1 samples are in
    (a shorter input, known to be so by `is_last`, is padded as offline); from then on, an output for every stride of
    samples. The last frame is made whole by `is_last`. What is kept is `_held` [B, N, in], after the ELU: once
    started it begins with the left padding, and N is kernel - stride plus the samples of a begun frame.
    """

    def __init__(self, offline: PaddedConv1d, after_elu: bool) -> None:
        conv = offline.conv.conv
        self.out_channels = conv.out_channels
        self._after_elu = after_elu
        self._causal = offline.causal
        self._stride = offline.stride
        self._kernel_size = offline.effective_kernel_size
        num_padding = self._kernel_size - self._stride
        self._num_right = 0 if offline.causal else num_padding // 2
        self._num_left = num_padding - self._num_right
        # Else what is held would not reach back far enough to make the last frame whole by reflection.
        assert not offline.causal or num_padding >= self._stride - 1
        weight, bias, dilation = _folded(conv), conv.bias, conv.dilation[0]
        self._conv: PackedConv1d | FewChannelsConv1d
        if conv.out_channels <= _FEW_CHANNELS and self._stride == dilation == 1:
            self._conv = FewChannelsConv1d(weight, bias)
        else:
            self._conv = PackedConv1d(weight, bias, self._stride, dilation)
        self._norm = offline.conv.norm
        self._held: Tensor | None = None
        self._started = False

    def fresh(self) -> "StreamingConv1d":
        """The same layer at the start of another stream."""
        other = copy.copy(self)
        other._held, other._started = None, False
        return other

    def __call__(self, x: Tensor, is_last: bool, add_to: Tensor | None = None) -> Tensor:
        """See `StreamingLayer`; the output is added to `add_to` in place if that is given (a kernel of 1 only)."""
        assert self._causal or (is_last and self._held is None), "not causal: takes whole segments only"
        num_held = 0 if self._held is None else self._held.shape[1]
        num_in = num_held + x.shape[1]
        starts = not self._started and num_in > 0 and (is_last or num_in > self._num_left)
        left = self._num_left if starts else 0
        right = 0
        if is_last and (starts or self._started):
            num_samples = num_in - (self._num_left if self._started else 0)
            right = self._num_right + -num_samples % self._stride
        padded = self._padded(x, left, right)
        self._started = self._started or starts
        num_frames = (padded.shape[1] - self._kernel_size) // self._stride + 1 if self._started else 0
        if num_frames <= 0:
            self._held = padded.clone() if padded is x else padded
            return x.new_zeros(x.shape[0], 0, self.out_channels)
        # A copy, lest the whole piece stay in memory.
        self._held = None if is_last else padded[:, num_frames * self._stride :].clone()
        if add_to is not None:
            assert isinstance(self._conv, PackedConv1d)
            return self._conv(padded, add_to)
        return _normed(self._conv(padded), self._norm)

    def _padded(self, x: Tensor, left: int, right: int) -> Tensor:
        """What is held and x after the ELU, reflected at both ends."""
        num_held = 0 if self._held is None else self._held.shape[1]
        if left == right == num_held == 0 and not self._after_elu:
            return x.contiguous()
        num_in = num_held + x.shape[1]
        padded = x.new_empty(x.shape[0], left + num_in + right, x.shape[2])
        inner = padded[:, left : left + num_in]
        if self._held is not None:
            inner[:, :num_held] = self._held
        if self._after_elu:
            elu_into(x, inner[:, num_held:])
        else:
            inner[:, num_held:] = x
        if max(left, right) >= num_in > 0:
            return reflect_pad(inner.transpose(1, 2), left, right).transpose(1, 2).contiguous()
        padded[:, :left] = inner[:, 1 : left + 1].flip(1)
        padded[:, left + num_in :] = inner[:, num_in - 1 - right : num_in - 1].flip(1)
        return padded


class StreamingConvTranspose1d:
    """`TrimmedConvTranspose1d`; if causal, an input gives `stride` outputs at once, since only the future is trimmed.

    A convolution over `taps` inputs gives the `stride` outputs of a step as so many times more channels, which in
    memory is the order that they should have. What is kept is `_held` [B, taps - 1, in], after the ELU.
    """

    def __init__(self, offline: TrimmedConvTranspose1d, after_elu: bool) -> None:
        convtr = offline.convtr.convtr
        self.out_channels = convtr.out_channels
        self._after_elu = after_elu
        self._stride = convtr.stride[0]
        self._kernel_size = convtr.kernel_size[0]
        self._left, self._right = offline.num_trimmed_left, offline.num_trimmed_right
        self._norm = offline.convtr.norm
        weight = _folded(convtr)  # [in, out, kernel]
        self._taps = -(-self._kernel_size // self._stride)
        weight = functional.pad(weight, (0, self._taps * self._stride - self._kernel_size))
        by_tap = weight.view(*weight.shape[:2], self._taps, self._stride).flip(2)  # [in, out, taps, stride]
        self._conv = PackedConv1d(
            by_tap.permute(3, 1, 0, 2).flatten(0, 1).contiguous(),
            None if convtr.bias is None else convtr.bias.repeat(self._stride),
        )
        self._held: Tensor | None = None

    def fresh(self) -> "StreamingConvTranspose1d":
        """The same layer at the start of another stream."""
        other = copy.copy(self)
        other._held = None
        return other

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        batch, num_in, channels = x.shape
        if num_in == 0:
            return x.new_zeros(batch, 0, self.out_channels)
        causal = self._left == 0
        assert causal or (is_last and self._held is None), "not causal: takes whole segments only"
        before, after = self._taps - 1, 0 if causal else self._taps - 1
        padded = x.new_empty(batch, before + num_in + after, channels)
        padded[:, :before] = 0.0 if self._held is None else self._held
        inner = padded[:, before : before + num_in]
        if self._after_elu:
            elu_into(x, inner)
        else:
            inner.copy_(x)
        padded[:, before + num_in :] = 0.0
        self._held = padded[:, num_in : num_in + before].clone() if causal else None
        y = self._conv(padded).reshape(batch, -1, self.out_channels)
        if causal:
            return y
        whole = y[:, : (num_in - 1) * self._stride + self._kernel_size].contiguous()
        return _normed(whole, self._norm)[:, self._left : whole.shape[1] - self._right]


class StreamingResidualUnit:
    """`ResidualUnit`; the skip path waits for the block.

    What is kept is `_held` [B, N, D], input that has not come out of the block yet; N is 0 once the block's convolution
    has started.
    """

    def __init__(self, offline: ResidualUnit) -> None:
        block = StreamingSequence(offline.block).layers
        assert len(block) == 2 and all(isinstance(layer, StreamingConv1d) for layer in block)
        self._narrowing, self._widening = block
        self._shortcut = StreamingConv1d(offline.shortcut, after_elu=False)
        # Without a normalisation between, the block adds its output to the shortcut's itself.
        self._adds_itself = isinstance(offline.shortcut.conv.norm, nn.Identity)
        self._held: Tensor | None = None

    def fresh(self) -> "StreamingResidualUnit":
        """The same layer at the start of another stream."""
        other = copy.copy(self)
        other._narrowing, other._widening = self._narrowing.fresh(), self._widening.fresh()
        other._shortcut, other._held = self._shortcut.fresh(), None
        return other

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        hidden = self._narrowing(x, is_last)
        if self._held is not None and self._held.shape[1]:
            x = torch.cat([self._held, x], dim=1)
        num_out = hidden.shape[1]
        self._held = x[:, num_out:].clone()
        y = self._shortcut(x[:, :num_out], is_last)
        if num_out == 0:
            return y
        assert isinstance(self._widening, StreamingConv1d)
        if self._adds_itself and isinstance(self._widening._conv, PackedConv1d):
            return self._widening(hidden, is_last, add_to=y)
        return y.add_(self._widening(hidden, is_last))


def _folded(conv: nn.Conv1d | nn.ConvTranspose1d) -> Tensor:
    """The weight of a convolution, its normalisation folded in."""
    if isinstance(conv, WeightNormConv1d | WeightNormConvTranspose1d):
        return torch._weight_norm(conv.weight_v, conv.weight_g, 0).detach()
    return conv.weight.detach()


def _normed(x: Tensor, norm: nn.Module) -> Tensor:
    """The normalisation of [B, T, C], over time and channels, in the memory of x."""
    return normalize_(x, norm) if isinstance(norm, nn.GroupNorm) else x
