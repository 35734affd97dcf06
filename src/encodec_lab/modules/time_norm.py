"""Group normalisation with one group (Wu and He 2018), over time and channels of [B, T, C], in place."""

import torch
from torch import Tensor, nn

# Sums of so many terms are exact enough in single precision; the sums of these are taken in double precision.
_TERMS = 2048


def normalize_(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """What `norm`, of one group, makes of x [B, T, C], contiguous, which it replaces; no gradients.

    The variance is the mean square less the square of the mean: both in double precision, one pass over x each.
    """
    assert norm.num_groups == 1
    values = x.flatten(1)
    num_rows, num_left = divmod(values.shape[1], _TERMS)
    rows = values[:, : num_rows * _TERMS].view(x.shape[0], num_rows, _TERMS)
    left = values[:, num_rows * _TERMS :]
    total = left.sum(1).double()
    squares = torch.linalg.vector_norm(left, dim=1).double().square()
    if num_rows:
        total += rows.sum(2).double().sum(1)
        squares += torch.linalg.vector_norm(rows, dim=2).double().square().sum(1)
    mean = total / values.shape[1]
    variance = (squares / values.shape[1] - mean.square()).clamp(min=0.0)
    factor = (variance + norm.eps).rsqrt()  # [B]
    weight, bias = norm.weight.double(), norm.bias.double()
    scale = (factor.unsqueeze(1) * weight).unsqueeze(1)  # [B, 1, C]
    shift = bias - mean.view(-1, 1, 1) * scale
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype), out=x)
