"""The quantiser as known implementations have it, to see what the faults cost: ablation=faulty_rvq, nothing else.

Kept out of the package, so that nothing can come to use it: a codec that it trains is loaded as any other, and learns
on without these faults. The numbers are those of tests/quantization/test_known_faults.py.
"""

from typing import Any

import torch
from torch import Tensor

from encodec_lab.quantization.codebook import EmaCodebook
from encodec_lab.quantization.residual_vq import QuantizedLatent, ResidualVectorQuantizer
from encodec_lab.training.codec_module import CodecTraining

_FEWEST_VECTORS = 2.0  # a code that has had fewer, a step, is replaced


class FaultyCodebook(EmaCodebook):
    """Learns nothing from k-means (fault 2), and replaces in vain (1), too early and by an absolute threshold (5)."""

    def start(self, centroids: Tensor, counts: Tensor, num_vectors_per_step: int) -> None:
        """The running sums start from the centroids instead of the centroids times their counts."""
        super().start(centroids, counts, num_vectors_per_step)
        self.cluster_size.copy_(counts)
        self.embed_avg.copy_(centroids)

    @torch.no_grad()
    def update(self, counts: Tensor, sums: Tensor, candidates: Tensor) -> None:
        """Dead codes are replaced before the step counts, and in `embed` alone, which then comes from the sums."""
        dead = (self.cluster_size < _FEWEST_VECTORS).unsqueeze(1)
        self.embed.copy_(torch.where(dead, candidates, self.embed))
        share, self.dead_code_share = self.dead_code_share, 0.0
        super().update(counts, sums, candidates)
        self.dead_code_share = share


class FaultyQuantizer(ResidualVectorQuantizer):
    """The commitment reaches the encoder from the first codebook only (fault 3)."""

    def quantize_for_training(
        self, latent: Tensor, num_codebooks: int, draw_seed: int, may_start: bool = True
    ) -> QuantizedLatent:
        """As the codec's own, but the later residuals are constants."""
        result = super().quantize_for_training(latent, num_codebooks, draw_seed, may_start)
        first, later = result.residuals[:1], result.residuals[1:]
        return result._replace(residuals=[*first, *(residual.detach() for residual in later)])


class FaultyCodecTraining(CodecTraining):
    """`CodecTraining` of a codec whose quantiser is made a faulty one; the weights and their names stay."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.codec.quantizer.__class__ = FaultyQuantizer
        for codebook in self.codec.quantizer.codebooks:
            codebook.__class__ = FaultyCodebook
