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
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        # Two paths, because the node of a `Function` reckons all of its gradients where autograd leaves out paths that
        # nobody asked for: the losses of a generator want the input's alone, a discriminator's the weights'.
        convolved = functional.conv2d(input.detach(), weight, self.bias, padding=self.padding)
        path = _InputPath.apply(input, weight.detach().to(convolved.dtype), convolved.shape)  # type: ignore[no-untyped-call]
        joined: Tensor = _Join.apply(convolved, path)  # type: ignore[no-untyped-call]
        return joined


class _InputPath(torch.autograd.Function):
    """Zeros, through which the gradient of a convolution's result [B, O, H, W] goes to its input [B, C, H, W]."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.dtype = input.dtype
        return weight.new_zeros(()).expand(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _input_gradient(gradient, weight).to(ctx.dtype), None, None


class _Join(torch.autograd.Function):
    """The sum of a tensor and of zeros, without adding."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, zeros: Tensor) -> Tensor:
        ctx.mark_dirty(values)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient


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
