"""Hinge losses of the discriminator and the generator (EnCodec, arXiv 2210.13438, section 3.4)."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class HasLogits(Protocol):
    """One discriminator's output, of which the logits [N, ...] matter here."""

    @property
    def logits(self) -> Tensor: ...


class GeneratorHingeLoss(nn.Module):
    """`1/K sum_k mean(max(0, 1 - D_k(fake)))` over the K discriminators [EnCodec section 3.4]."""

    def forward(self, fake_outputs: Sequence[HasLogits]) -> Tensor:
        """Return the scalar loss; its gradient reaches whatever `fake_outputs` were computed from.

        Raises:
            ValueError: for no output at all.
        """
        if not fake_outputs:
            raise ValueError("no discriminator outputs: give at least one")
        return torch.stack([_hinge(fake.logits, sign=1.0) for fake in fake_outputs]).mean()


class DiscriminatorHingeLoss(nn.Module):
    """`1/K sum_k mean(max(0, 1 - D_k(real))) + mean(max(0, 1 + D_k(fake)))` [EnCodec section 3.4]."""

    def forward(self, real_outputs: Sequence[HasLogits], fake_outputs: Sequence[HasLogits]) -> Tensor:
        """Return the scalar loss.

        Nothing is detached: to spare the generator, compute the outputs from a detached waveform or back-propagate
        with `inputs=` the discriminator's parameters.

        Raises:
            ValueError: for no outputs, or two numbers of outputs.
        """
        if not real_outputs or len(real_outputs) != len(fake_outputs):
            raise ValueError(
                f"{len(real_outputs)} outputs for real audio and {len(fake_outputs)} for fake: give one of each a scale"
            )
        per_scale = [
            _hinge(real.logits, sign=1.0) + _hinge(fake.logits, sign=-1.0)
            for real, fake in zip(real_outputs, fake_outputs, strict=True)
        ]
        return torch.stack(per_scale).mean()


def _hinge(logits: Tensor, sign: float) -> Tensor:
    """Mean of max(0, 1 - sign * logits), in at least single precision."""
    return torch.relu(1.0 - sign * logits).mean(dtype=torch.promote_types(logits.dtype, torch.float32))
