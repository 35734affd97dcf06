"""Relative feature matching (EnCodec, arXiv 2210.13438, section 3.4, eq. 2)."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_SMALLEST_SCALE = 1e-5  # keeps a map of zeros (a dead layer) from dividing by zero


class HasFeatures(Protocol):
    """One discriminator's output, of which the feature maps [N, ...] matter here."""

    @property
    def features(self) -> Sequence[Tensor]: ...


class FeatureMatchingLoss(nn.Module):
    """`1/(K L) sum_k sum_l mean|D_k^l(real) - D_k^l(fake)| / mean|D_k^l(real)|` [EnCodec eq. 2].

    Both means are over one row of a feature map (one channel of one item) and the quotients are averaged, so that an
    item's loss does not depend on its company. A denominator is at least 1e-5.
    """

    def forward(self, real_outputs: Sequence[HasFeatures], fake_outputs: Sequence[HasFeatures]) -> Tensor:
        """Return the scalar loss; the features of real audio are constants here.

        Raises:
            ValueError: for no outputs, or outputs that do not match.
        """
        real_maps = [feature for output in real_outputs for feature in output.features]
        fake_maps = [feature for output in fake_outputs for feature in output.features]
        real_shapes = [tuple(feature.shape) for feature in real_maps]
        fake_shapes = [tuple(feature.shape) for feature in fake_maps]
        if not real_maps or real_shapes != fake_shapes:
            raise ValueError(
                f"feature maps {real_shapes} of real audio and {fake_shapes} of fake: "
                "give outputs of one discriminator for two batches of one shape"
            )
        ratios = []
        for real, fake in zip(real_maps, fake_maps, strict=True):
            constant = real.detach()
            scale = _row_mean_abs(constant).clamp_min(_SMALLEST_SCALE)
            distance: Tensor = _RowMeanAbsDifference.apply(fake, constant)  # type: ignore[no-untyped-call]
            ratios.append((distance / scale).mean())
        return torch.stack(ratios).mean()


def _row_mean_abs(feature: Tensor) -> Tensor:
    """[N, ...] -> [N], in at least single precision."""
    # Over the axes as they lie in memory: to flatten maps that are laid out channels last would be to copy them.
    axes, dtype = list(range(1, feature.dim())), torch.promote_types(feature.dtype, torch.float32)
    sums: Tensor = torch.linalg.vector_norm(feature, 1, dim=axes, dtype=dtype)
    return sums / feature[0].numel()


class _RowMeanAbsDifference(torch.autograd.Function):
    """`_row_mean_abs(fake - constant)`, whose gradient is one product where autograd's own are five passes.

    The maps are the largest tensors of a training step; to go over them is what this loss costs.
    """

    @staticmethod
    def forward(ctx: Any, fake: Tensor, constant: Tensor) -> Tensor:
        difference = fake - constant
        means = _row_mean_abs(difference)
        ctx.save_for_backward(difference.sgn_())
        return means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (sign,) = ctx.saved_tensors
        per_element = (gradient / sign[0].numel()).to(sign.dtype)
        return sign * per_element.view(-1, *[1] * (sign.dim() - 1)), None
