"""Weight-normalised convolutions (Salimans and Kingma 2016): w = g * v / ||v||, the norm over all axes but the first.

Written as layers that hold `weight_g` and `weight_v`, the reference's parameter names, instead of torch's hooks:
these can be deep-copied at any time and give no deprecation warning.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def _split_weight(layer: nn.Module) -> None:
    """Replace `weight` by its magnitude `weight_g` [W0, 1, ...] and direction `weight_v` [W0, W1, ...]."""
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    del layer.weight
    # Of a shape alone no norm is taken: torch would load a second's worth of its own modules for it.
    norm = weight.new_empty(weight.shape[0], *[1] * (weight.dim() - 1))
    if not weight.is_meta:
        norm = torch.norm_except_dim(weight.detach(), 2, 0).clone()
    layer.weight_g = nn.Parameter(norm)
    layer.weight_v = nn.Parameter(weight.detach().clone())


class WeightNormConv1d(nn.Conv1d):
    """`nn.Conv1d` under weight normalisation; takes the same arguments."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        _split_weight(self)

    def forward(self, input: Tensor) -> Tensor:
        """[B, in, T] -> [B, out, T']."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        convolved: Tensor = self._conv_forward(input, weight, self.bias)
        return convolved


class WeightNormConvTranspose1d(nn.ConvTranspose1d):
    """`nn.ConvTranspose1d` under weight normalisation, with the norm per *input* channel as in the reference."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        _split_weight(self)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[B, in, T] -> [B, out, T']."""
        assert output_size is None and not isinstance(self.padding, str)
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return functional.conv_transpose1d(
            input,
            weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class WeightNormConv2d(nn.Conv2d):
    """`nn.Conv2d` under weight normalisation; takes the same arguments."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def __init__(self, *args: int, **kwargs: int | tuple[int, int]) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        _split_weight(self)

    def forward(self, input: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H', W']."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        convolved: Tensor = self._conv_forward(input, weight, self.bias)
        return convolved
