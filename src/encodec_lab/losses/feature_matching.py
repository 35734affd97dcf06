"""Relative feature matching (EnCodec, arXiv 2210.13438, section 3.4, eq. 2)."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

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
            ratios.append((_row_mean_abs(constant - fake) / scale).mean())
        return torch.stack(ratios).mean()


def _row_mean_abs(feature: Tensor) -> Tensor:
    """[N, ...] -> [N], in at least single precision."""
    return feature.abs().flatten(1).mean(1, dtype=torch.promote_types(feature.dtype, torch.float32))
