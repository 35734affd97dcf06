"""Commitment of the encoder to the codebooks (EnCodec, arXiv 2210.13438, section 3.4, l_w)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def commitment_loss(residuals: Sequence[Tensor], quantized: Sequence[Tensor]) -> Tensor:
    """`1/K sum_k mean((z_k - q_k(z_k))^2)`, with the quantised vectors as constants [EnCodec section 3.4, l_w].

    The paper sums over the codebooks and leaves the norm's scale open; this is the mean over codebooks, items,
    dimensions and frames, so that its size does not depend on how many codebooks a batch uses.

    Args:
        residuals: K tensors of one shape, [B * L, D] from the quantiser: the input of each codebook. To reach the
            encoder from every codebook they must be differentiable: the latent minus the *detached* quantised vectors
            of the codebooks before.
        quantized: K tensors [B * L, D], what each codebook chose.

    Raises:
        ValueError: for no codebook, or shapes that do not match.
    """
    residual_shapes = [tuple(residual.shape) for residual in residuals]
    quantized_shapes = [tuple(chosen.shape) for chosen in quantized]
    if not residual_shapes or residual_shapes != quantized_shapes:
        raise ValueError(
            f"residuals {residual_shapes} and quantised vectors {quantized_shapes}: give one of each"
        )
    per_codebook = [
        (residual.float() - chosen.detach().float()).square().mean()
        for residual, chosen in zip(residuals, quantized, strict=True)
    ]
    return torch.stack(per_codebook).mean()
