"""One codebook, learned by exponential moving averages.

Sources: van den Oord et al. 2017, appendix A.1; EnCodec, arXiv 2210.13438, section 3.2.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from encodec_lab.quantization.kmeans import is_usable, nearest_centroids

_EPSILON = 1e-5


class EmaCodebook(nn.Module):
    """A codebook [V, D] whose entries are the running means of the vectors that chose them.

    Buffers, by the reference's names: `embed` [V, D] the codebook, `embed_avg` [V, D] the running sum of the vectors of
    every code, `cluster_size` [V] their running count, `inited` [1] whether the codebook has been given its start.
    The running figures are per training step: in the steady state `cluster_size` sums to the vectors of one batch.
    """

    decay: float
    dead_code_share: float
    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(self, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.zeros(1))
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("embed", torch.zeros(codebook_size, dimension))
        self.register_buffer("embed_avg", torch.zeros(codebook_size, dimension))

    def configure_learning(self, decay: float, dead_code_share: float) -> None:
        """Set the two figures of `update`, which is not to be called before."""
        self.decay = decay
        self.dead_code_share = dead_code_share

    def encode(self, vectors: Tensor, entry_norms: Tensor | None = None) -> Tensor:
        """Nearest codes [N] of the vectors [N, D]; never changes the codebook. See `nearest_centroids`."""
        return nearest_centroids(vectors, self.embed, entry_norms)

    def decode(self, codes: Tensor) -> Tensor:
        """Codebook entries [..., D] of the codes [...]."""
        return functional.embedding(codes, self.embed)

    @torch.no_grad()
    def start(self, centroids: Tensor, counts: Tensor, num_vectors_per_step: int) -> None:
        """Begin from k-means, in such a way that the next update keeps it.

        `counts` [V] are scaled to one step's worth of vectors, and the running sums hold centroid times count; with the
        bare centroids there, the first update would shrink the codebook to nothing.
        """
        cluster_size = counts * (num_vectors_per_step / counts.sum())
        self.cluster_size.copy_(cluster_size)
        self.embed_avg.copy_(centroids * cluster_size.unsqueeze(1))
        self.embed.copy_(centroids)
        self.inited.fill_(1.0)

    @torch.no_grad()
    def update(self, counts: Tensor, sums: Tensor, candidates: Tensor) -> None:
        """One step of the moving averages, then dead codes come back.

        A code is dead when, after this step, its running count is under `dead_code_share` of uniform usage (all running
        counts over V). It takes the place of a candidate, with the running count of an ordinarily used code, so that
        the next update neither undoes the move nor finds the code dead again. Where the candidate is not usable (see
        `is_usable`) it stays as it is.

        Args:
            counts: [V] vectors of this step's global batch that chose each code.
            sums: [V, D] their sums.
            candidates: [V, D] vectors of this step's global batch, one for each code should it be dead.
        """
        self.cluster_size.lerp_(counts, 1 - self.decay)
        self.embed_avg.lerp_(sums, 1 - self.decay)
        total = self.cluster_size.sum()
        uniform_usage = total / self.cluster_size.numel()
        dead = (self.cluster_size < self.dead_code_share * uniform_usage) & is_usable(candidates)
        self.cluster_size.copy_(torch.where(dead, uniform_usage, self.cluster_size))
        self.embed_avg.copy_(torch.where(dead.unsqueeze(1), candidates * uniform_usage, self.embed_avg))
        smoothed = (self.cluster_size + _EPSILON) / (total + self.cluster_size.numel() * _EPSILON) * total
        means = self.embed_avg / smoothed.unsqueeze(1)
        self.embed.copy_(torch.where(dead.unsqueeze(1), candidates, means))
