"""Reconstruction loss in the time domain (EnCodec, arXiv 2210.13438, section 3.4)."""

import torch
from torch import Tensor, nn

from encodec_lab.losses.waveform_pair import check_pair


class WaveformL1Loss(nn.Module):
    """`mean|real - fake|` over the samples [EnCodec section 3.4, l_t]."""

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the scalar loss of two waveforms [B, C, T]; `real` is a constant here.

        Raises:
            ValueError: for two shapes.
        """
        check_pair(real, fake)
        return (real.detach() - fake).abs().mean(dtype=torch.promote_types(fake.dtype, torch.float32))
