"""Codes that differ because two entries of a codebook are equally near but for rounding."""

import torch
from torch import Tensor

from encodec_lab.models.encodec import EncodecModel

TIE = 1e-5  # of squared distances


@torch.no_grad()
def num_ties(model: EncodecModel, wav: Tensor, codes: Tensor, expected: Tensor) -> int:
    """In how many frames [B, K, L] of a codec without segments codes differ; fails unless each begins with a tie."""
    assert codes.shape == expected.shape
    vectors = model.encoder(wav).transpose(1, 2)
    differing = (codes != expected).any(dim=1).nonzero().tolist()
    for item, frame in differing:
        residual = vectors[item, frame]
        for codebook, ours, theirs in zip(
            model.quantizer.codebooks, codes[item, :, frame], expected[item, :, frame], strict=False
        ):
            if ours != theirs:
                distances = (codebook.embed[torch.stack([ours, theirs])] - residual).square().sum(1)
                assert (distances[0] - distances[1]).abs() < TIE, f"frame {frame} is no tie"
                break
            residual = residual - codebook.embed[theirs]
    return len(differing)
