"""Group normalisation with one group (Wu and He 2018), over time and channels of [B, T, C], in place."""

import torch
from torch import Tensor, nn

# Sums of so many terms are exact enough in single precision; the sums of these are taken in double precision.
_TERMS = 2048
# How far the mean may lie from zero, in standard deviations, before its square cancels too many digits of the variance.
_FAR = 4.0


def normalize_(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """What `norm`, of one group, makes of x [B, T, C], contiguous, which it replaces; no gradients.

    The variance is the mean square less the square of the mean, which takes one pass over x; where the mean is large
    beside it, x is centred first.
    """
    assert norm.num_groups == 1
    mean, square = _moments(x)
    if bool((mean.square() > _FAR**2 * (square - mean.square() + norm.eps)).any()):
        x.sub_(mean.to(x.dtype).view(-1, 1, 1))
        mean, square = _moments(x)
    factor = ((square - mean.square()).clamp(min=0.0) + norm.eps).rsqrt()  # [B]
    scale = (factor.unsqueeze(1) * norm.weight.double()).unsqueeze(1)  # [B, 1, C]
    shift = norm.bias.double() - mean.view(-1, 1, 1) * scale
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype), out=x)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square [B] of [B, T, C], in double precision."""
    values = x.flatten(1)
    num_rows, _ = divmod(values.shape[1], _TERMS)
    rows = values[:, : num_rows * _TERMS].view(x.shape[0], num_rows, _TERMS)
    left = values[:, num_rows * _TERMS :]
    total = left.sum(1).double()
    squares = torch.linalg.vector_norm(left, dim=1).double().square()
    if num_rows:
        total += rows.sum(2).double().sum(1)
        squares += torch.linalg.vector_norm(rows, dim=2).double().square().sum(1)
    return total / values.shape[1], squares / values.shape[1]
