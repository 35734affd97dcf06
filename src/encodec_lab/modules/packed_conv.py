"""Convolutions with fixed weights over [B, T, C], time before channels: the layout that oneDNN is fastest in.

The weights are laid out once for oneDNN. Where there is no oneDNN, or not for this device and precision, torch's own
convolution does the same.
"""

import torch
from torch import Tensor
from torch.nn import functional

# Outputs of a convolution that a vector of the processor holds: with fewer, the rest of it is computed in vain.
_VECTOR_LENGTH = 16
_TYPICAL_STEPS = 1000


class PackedConv1d:
    """A convolution [B, T, in] -> [B, (T - reach) // stride + 1, out] without padding.

    Args:
        weight: [out, in, kernel].
        bias: [out] or None.
        stride: in steps.
        dilation: in steps.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1) -> None:
        self.out_channels = weight.shape[0]
        self._stride = stride
        self._dilation = dilation
        self._bias = None if bias is None else bias.detach()
        self._packed = self._pack(weight.detach()) if _fits_onednn(weight) else None
        self._weight = weight.detach() if self._packed is None else None

    def __call__(self, x: Tensor, add_to: Tensor | None = None) -> Tensor:
        """The convolution of x, added to `add_to` in place if that is given."""
        if self._weight is not None:
            plain = functional.conv1d(
                x.transpose(1, 2), self._weight, self._bias, self._stride, dilation=self._dilation
            ).transpose(1, 2)
            return plain.contiguous() if add_to is None else add_to.add_(plain)
        image = x.transpose(1, 2).unsqueeze(2)  # [B, in, 1, T], channels last in memory
        geometry = ((0, 0), (1, self._stride), (1, self._dilation), 1)
        if add_to is None:
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                image, self._packed, self._bias, *geometry, "none", [], ""
            )
            return y.squeeze(2).transpose(1, 2)
        torch.ops.mkldnn._convolution_pointwise_.binary(
            add_to.transpose(1, 2).unsqueeze(2),
            image,
            self._packed,
            self._bias,
            *geometry,
            "add",
            1.0,
            None,
            [],
            None,
        )
        return add_to

    def _pack(self, weight: Tensor) -> Tensor:
        _, in_channels, kernel_size = weight.shape
        num_steps = (kernel_size - 1) * self._dilation + 1 + self._stride * _TYPICAL_STEPS
        packed: Tensor = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]
            weight.unsqueeze(2).to_mkldnn(),
            [0, 0],
            [1, self._stride],
            [1, self._dilation],
            1,
            [1, in_channels, 1, num_steps],
        )
        return packed


class FewChannelsConv1d:
    """A convolution [B, T, in] -> [B, T - kernel + 1, out] to so few channels that a vector holds several steps.

    Several steps are made the channels of one, by a convolution with shifted copies of the weights.

    Args:
        weight: [out, in, kernel] with a small `out`.
        bias: [out] or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.out_channels, in_channels, self._kernel_size = weight.shape
        self._num_steps = max(1, _VECTOR_LENGTH // self.out_channels)
        shifted = weight.new_zeros(
            self._num_steps, self.out_channels, in_channels, self._kernel_size + self._num_steps - 1
        )
        for step in range(self._num_steps):
            shifted[step, :, :, step : step + self._kernel_size] = weight.detach()
        self._by_steps = PackedConv1d(
            shifted.flatten(0, 1),
            None if bias is None else bias.detach().repeat(self._num_steps),
            stride=self._num_steps,
        )
        self._step = PackedConv1d(weight, bias)

    def __call__(self, x: Tensor) -> Tensor:
        """The convolution of x."""
        num_out = x.shape[1] - self._kernel_size + 1
        num_by_steps = num_out - num_out % self._num_steps
        parts = []
        if num_by_steps:
            y = self._by_steps(x)
            parts.append(y.reshape(x.shape[0], num_by_steps, self.out_channels))
        if num_by_steps < num_out:
            parts.append(self._step(x[:, num_by_steps:].contiguous()))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _fits_onednn(weight: Tensor) -> bool:
    return torch._C._has_mkldnn and weight.is_cpu and weight.dtype is torch.float32
