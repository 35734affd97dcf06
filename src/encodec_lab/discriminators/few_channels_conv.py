"""A 2-D convolution of very few input channels, as a complex spectrum has, whose gradient is cheap on CPUs."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from encodec_lab.modules.weight_norm import WeightNormConv2d


class FewChannelsConv2d(WeightNormConv2d):
    """`WeightNormConv2d` with stride and dilation 1, an odd kernel and the padding that keeps the size.

    On the CPU the gradient of its input takes less than half as long: oneDNN works with 16 channels where there are
    two, so here the rows of the kernel are channels of one convolution along the other axis, and added up afterwards.
    It matters because a generator's losses go back through here, one by one, to the waveform.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W]."""
        if input.device.type != "cpu" or not input.requires_grad:
            return super().forward(input)
        assert self.bias is not None
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        operands = [input, weight, self.bias]
        if torch.is_autocast_enabled("cpu"):
            operands = [operand.to(torch.get_autocast_dtype("cpu")) for operand in operands]
        convolved: Tensor = _Convolution.apply(*operands)  # type: ignore[no-untyped-call]
        return convolved


class _Convolution(torch.autograd.Function):
    """`functional.conv2d` of [B, C, H, W] by [O, C, K, J] and a bias [O], padded to keep the size."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(input, weight)
        return functional.conv2d(input, weight, bias, padding=_same_padding(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        input, weight = ctx.saved_tensors
        of_input, of_weight, of_bias = ctx.needs_input_grad
        by_input = _input_gradient(gradient, weight) if of_input else None
        by_weight = by_bias = None
        if of_weight or of_bias:
            _, by_weight, by_bias = torch.ops.aten.convolution_backward(
                gradient,
                input,
                weight,
                [len(weight)],
                [1, 1],
                list(_same_padding(weight)),
                [1, 1],
                False,
                [0, 0],
                1,
                [False, of_weight, of_bias],
            )
        return by_input, by_weight, by_bias


def _same_padding(weight: Tensor) -> tuple[int, int]:
    return weight.shape[2] // 2, weight.shape[3] // 2


def _input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """[B, O, H, W] by [O, C, K, J] -> [B, C, H, W]: a row of the kernel after the other, added up with its shift."""
    num_outputs, num_channels, num_rows, num_columns = weight.shape
    middle = num_rows // 2
    flipped = weight.permute(2, 1, 0, 3).flip(3).reshape(-1, num_outputs, 1, num_columns)
    by_rows = functional.conv2d(gradient, flipped, padding=(0, num_columns // 2))
    rows = torch.split(by_rows, num_channels, dim=1)
    total: Tensor = rows[middle].clone(memory_format=torch.preserve_format)
    height = gradient.shape[2]
    for row, part in enumerate(rows):
        shift = row - middle
        if 0 < shift < height:
            total[:, :, shift:] += part[:, :, :-shift]
        elif -height < shift < 0:
            total[:, :, :shift] += part[:, :, -shift:]
    return total
