"""K-means (Lloyd's algorithm) for the codebooks' starting points."""

import torch
from torch import Tensor


def squared_norms(centroids: Tensor) -> Tensor:
    """||c||^2 [1, V] of the centroids [V, D], for those who look for nearest ones again and again."""
    return centroids.t().pow(2).sum(0, keepdim=True)


def nearest_centroids(vectors: Tensor, centroids: Tensor, centroid_norms: Tensor | None = None) -> Tensor:
    """Indices [N] of the centroids [V, D] nearest to the vectors [N, D], by Euclidean distance.

    The distance is expanded to ||x||^2 - 2 x.c + ||c||^2: one matrix product, [N, V] at most in memory. The terms are
    added in the order of the reference, so that near ties fall the same way. `centroid_norms` is what `squared_norms`
    gave, or None to reckon it.
    """
    if centroid_norms is None:
        centroid_norms = squared_norms(centroids)
    negative_distance = -(vectors.pow(2).sum(1, keepdim=True) - 2 * vectors @ centroids.t() + centroid_norms)
    return negative_distance.max(dim=-1).indices


def is_usable(vectors: Tensor) -> Tensor:
    """Which of the vectors [N, D] have a finite squared norm [N]: of others nothing can be learned.

    One of them in a running mean would stay there for ever.
    """
    return vectors.pow(2).sum(1).isfinite()


def cluster_sums(vectors: Tensor, codes: Tensor, num_clusters: int) -> tuple[Tensor, Tensor]:
    """The number of usable vectors [N, D] in each cluster [V], and their sums [V, D], in the order of the vectors."""
    usable = is_usable(vectors)
    counts = vectors.new_zeros(num_clusters).index_add_(0, codes, usable.to(vectors.dtype))
    sums = vectors.new_zeros(num_clusters, vectors.shape[1])
    sums.index_add_(0, codes, torch.where(usable.unsqueeze(1), vectors, 0.0))
    return counts, sums


def draw_rows(vectors: Tensor, num_rows: int, generator: torch.Generator) -> Tensor:
    """`num_rows` of the vectors [N, D], without repetition where N allows; `generator` is one of the CPU."""
    num_vectors = vectors.shape[0]
    if num_vectors >= num_rows:
        index = torch.randperm(num_vectors, generator=generator)[:num_rows]
    else:
        index = torch.randint(num_vectors, (num_rows,), generator=generator)
    return vectors[index.to(vectors.device)]


def kmeans(
    vectors: Tensor, num_clusters: int, num_iterations: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cluster [N, D]; a cluster that loses all its vectors is moved onto a random one.

    Returns:
        The centroids [V, D] and the number of vectors nearest to each [V] (same dtype).
    """
    centroids = draw_rows(vectors, num_clusters, generator)
    for _ in range(num_iterations):
        counts, sums = cluster_sums(vectors, nearest_centroids(vectors, centroids), num_clusters)
        strays = draw_rows(vectors, num_clusters, generator)
        occupied = (counts > 0).unsqueeze(1)
        centroids = torch.where(occupied, sums / counts.clamp(min=1).unsqueeze(1), strays)
    counts, _ = cluster_sums(vectors, nearest_centroids(vectors, centroids), num_clusters)
    return centroids, counts
