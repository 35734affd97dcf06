"""The causal SEANet piece by piece: the outputs of all pieces, joined, are what the offline network gives on the whole.

    layer = StreamingSequence(model.encoder.model)
    latents = [layer(piece, is_last=False) for piece in pieces] + [layer(empty, is_last=True)]

A streaming layer refers to the weights of an offline one (weight normalisation is folded in once, when it is made) and
keeps what later outputs need of earlier inputs. Sums may be grouped otherwise than offline, so last bits may differ.
Called without gradients: what is kept would keep the graph of the whole stream alive.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from encodec_lab.modules.conv import PaddedConv1d, TrimmedConvTranspose1d, reflect_pad
from encodec_lab.modules.lstm import SkipLSTM
from encodec_lab.modules.seanet import ResidualUnit
from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

# oneDNN lays the weights of an LSTM out anew at every call, which takes as long as some five steps.
_FEW_STEPS = 4


class StreamingLayer(Protocol):
    """Maps the next piece [B, in, T], T >= 0, to all outputs [B, out, T'] that are certain after it."""

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        """`is_last` says that nothing follows: all outputs that are left come now."""
        ...


def streaming_layer(module: nn.Module) -> StreamingLayer:
    """The streaming counterpart of a layer of a causal SEANet."""
    if isinstance(module, PaddedConv1d):
        return StreamingConv1d(module)
    if isinstance(module, TrimmedConvTranspose1d):
        return StreamingConvTranspose1d(module)
    if isinstance(module, ResidualUnit):
        return StreamingResidualUnit(module)
    if isinstance(module, SkipLSTM):
        return StreamingSkipLSTM(module)
    assert isinstance(module, nn.ELU), f"no streaming counterpart of {type(module).__name__}"
    return Memoryless(module)


class StreamingSequence:
    """Layers one after the other."""

    def __init__(self, offline: nn.Sequential) -> None:
        self._layers = [streaming_layer(module) for module in offline]

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        for layer in self._layers:
            x = layer(x, is_last)
        return x


class Memoryless:
    """A layer whose every output depends on the input at the same place alone."""

    def __init__(self, offline: nn.Module) -> None:
        self._offline = offline

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        out: Tensor = self._offline(x)
        return out


@dataclass
class ConvState:
    """What a convolution keeps.

    Attributes:
        held: [B, in, N] input that outputs to come need; once started it begins with the left padding, and N is
            kernel - stride plus the samples of a begun frame.
        started: whether the left padding is there.
    """

    held: Tensor
    started: bool = False


class StreamingConv1d:
    """`PaddedConv1d`, causal.

    The padding on the left reflects the first samples, so nothing comes out before kernel - stride + 1 samples are in
    (a shorter input, known to be so by `is_last`, is padded as offline); from then on, an output for every stride of
    samples. The last frame is made whole by `is_last`.
    """

    def __init__(self, offline: PaddedConv1d) -> None:
        conv = offline.conv.conv
        assert offline.causal and isinstance(conv, WeightNormConv1d)
        self._weight = torch._weight_norm(conv.weight_v, conv.weight_g, 0).detach()
        self._bias = conv.bias
        self._stride = offline.stride
        self._dilation = conv.dilation[0]
        self._kernel_size = offline.effective_kernel_size
        self._num_padding = self._kernel_size - self._stride
        # Else what is held would not reach back far enough to make the last frame whole by reflection.
        assert self._num_padding >= self._stride - 1
        self._state: ConvState | None = None

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        state = self._state or ConvState(x[..., :0])
        padded = torch.cat([state.held, x], dim=-1) if state.held.shape[-1] else x
        started = state.started
        if not started and padded.shape[-1] > self._num_padding:
            padded = reflect_pad(padded, self._num_padding, 0)
            started = True
        if is_last:
            left = 0 if started else self._num_padding
            num_samples = padded.shape[-1] - self._num_padding if started else padded.shape[-1]
            if num_samples:
                padded = reflect_pad(padded, left, -num_samples % self._stride)
        num_frames = (padded.shape[-1] - self._kernel_size) // self._stride + 1 if started or is_last else 0
        if num_frames <= 0:
            self._state = ConvState(padded.clone(), started)
            return x.new_zeros(x.shape[0], self._weight.shape[0], 0)
        # A copy, lest the whole piece stay in memory.
        self._state = ConvState(padded[..., num_frames * self._stride :].clone(), started)
        return functional.conv1d(padded, self._weight, self._bias, self._stride, dilation=self._dilation)


@dataclass
class ConvTransposeState:
    """What a transposed convolution keeps.

    Attributes:
        tail: [B, out, kernel - stride] what the inputs so far add to the outputs to come; no bias in it.
    """

    tail: Tensor


class StreamingConvTranspose1d:
    """`TrimmedConvTranspose1d`, causal: an input gives `stride` outputs at once, since only the future is trimmed."""

    def __init__(self, offline: TrimmedConvTranspose1d) -> None:
        convtr = offline.convtr.convtr
        assert offline.num_trimmed_left == 0 and isinstance(convtr, WeightNormConvTranspose1d)
        assert convtr.bias is not None
        self._weight = torch._weight_norm(convtr.weight_v, convtr.weight_g, 0).detach()
        self._bias = convtr.bias
        self._stride = convtr.stride[0]
        self._state: ConvTransposeState | None = None

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        num_out = x.shape[-1] * self._stride
        if num_out == 0:
            return x.new_zeros(x.shape[0], self._weight.shape[1], 0)
        y = functional.conv_transpose1d(x, self._weight, self._bias, self._stride)
        if self._state is not None:
            y[..., : self._state.tail.shape[-1]] += self._state.tail
        self._state = ConvTransposeState(y[..., num_out:] - self._bias.unsqueeze(1))
        return y[..., :num_out]


@dataclass
class ResidualState:
    """What a residual unit keeps.

    Attributes:
        held: [B, D, N] input that has not come out of the block yet; N is 0 once the block's convolution has started.
    """

    held: Tensor


class StreamingResidualUnit:
    """`ResidualUnit`, causal: the skip path waits for the block."""

    def __init__(self, offline: ResidualUnit) -> None:
        self._block = StreamingSequence(offline.block)
        self._shortcut = StreamingConv1d(offline.shortcut)
        self._state: ResidualState | None = None

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        y = self._block(x, is_last)
        if self._state is not None and self._state.held.shape[-1]:
            x = torch.cat([self._state.held, x], dim=-1)
        num_out = y.shape[-1]
        self._state = ResidualState(x[..., num_out:].clone())
        return self._shortcut(x[..., :num_out], is_last) + y


@dataclass
class LSTMState:
    """What an LSTM keeps.

    Attributes:
        hidden: [num_layers, B, D].
        cell: [num_layers, B, D].
    """

    hidden: Tensor
    cell: Tensor


class StreamingSkipLSTM:
    """`SkipLSTM`; a few steps at a time are taken one by one, long pieces as offline."""

    def __init__(self, offline: SkipLSTM) -> None:
        self._lstm = offline.lstm
        self._state: LSTMState | None = None

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        if x.shape[-1] == 0:
            return x
        steps = x.permute(2, 0, 1)  # [L, B, D]
        if self._state is None:
            zeros = x.new_zeros(self._lstm.num_layers, x.shape[0], self._lstm.hidden_size)
            self._state = LSTMState(zeros, zeros)
        few = steps.shape[0] <= _FEW_STEPS and not x.is_cuda
        y = self._step_by_step(steps, self._state) if few else self._all_steps(steps, self._state)
        return (y + steps).permute(1, 2, 0)

    def _all_steps(self, steps: Tensor, past: LSTMState) -> Tensor:
        y, (hidden, cell) = self._lstm(steps, (past.hidden, past.cell))
        self._state = LSTMState(hidden, cell)
        out: Tensor = y
        return out

    def _step_by_step(self, steps: Tensor, past: LSTMState) -> Tensor:
        inputs = steps.unbind()
        states = []
        for state, weights in zip(
            zip(past.hidden, past.cell, strict=True), self._lstm.all_weights, strict=True
        ):
            outputs = []
            for step in inputs:
                state = torch.lstm_cell(step, state, *weights)
                outputs.append(state[0])
            inputs = tuple(outputs)
            states.append(state)
        self._state = LSTMState(
            torch.stack([hidden for hidden, _ in states]), torch.stack([cell for _, cell in states])
        )
        return torch.stack(inputs)
