"""K-means against plain Lloyd steps in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from encodec_lab.quantization.kmeans import cluster_sums, draw_rows, kmeans, nearest_centroids


class LargestTensor(TorchDispatchMode):
    """Notes the most elements that any operation's result has."""

    num_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.num_elements = max(self.num_elements, result.numel())
        return result


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(num_vectors: int, num_clusters: int, dimension: int, spread: float = 0.1) -> Tensor:
    centers = 3 * torch.randn(num_clusters, dimension, generator=seeded(1))
    which = torch.randint(num_clusters, (num_vectors,), generator=seeded(2))
    return centers[which] + spread * torch.randn(num_vectors, dimension, generator=seeded(3))


def plain_distances(vectors: Tensor, centroids: Tensor) -> np.ndarray:
    """Squared distances [N, V] in float64, by subtraction."""
    return ((vectors.double().numpy()[:, None] - centroids.double().numpy()[None]) ** 2).sum(-1)


def test_nearest_centroids():
    vectors, centroids = torch.randn(500, 8, generator=seeded()), torch.randn(40, 8, generator=seeded(1))
    assert (
        nearest_centroids(vectors, centroids).tolist()
        == plain_distances(vectors, centroids).argmin(1).tolist()
    )


def test_cluster_sums():
    vectors = torch.randn(100, 3, generator=seeded())
    codes = torch.randint(5, (100,), generator=seeded(1))
    codes[codes == 2] = 0
    counts, sums = cluster_sums(vectors, codes, 6)
    for code in range(6):
        assert counts[code] == (codes == code).sum()
        torch.testing.assert_close(sums[code], vectors[codes == code].sum(0))
    assert counts[2] == counts[5] == 0


@pytest.mark.parametrize("num_iterations", [0, 1, 5])
def test_kmeans_is_lloyds_algorithm(num_iterations):
    vectors = clusters(600, 12, 6)
    expected = draw_rows(vectors, 10, seeded()).double().numpy()
    for _ in range(num_iterations):
        nearest = plain_distances(vectors, torch.from_numpy(expected)).argmin(1)
        assert np.bincount(nearest, minlength=10).min() > 0, "this test is about clusters that keep vectors"
        expected = np.stack([vectors.double().numpy()[nearest == code].mean(0) for code in range(10)])
    centroids, counts = kmeans(vectors, 10, num_iterations, seeded())
    np.testing.assert_allclose(centroids.numpy(), expected, rtol=1e-4, atol=1e-5)
    nearest = plain_distances(vectors, centroids).argmin(1)
    assert counts.tolist() == np.bincount(nearest, minlength=10).tolist()


def test_kmeans_never_makes_a_tensor_of_vectors_by_clusters_by_dimensions():
    vectors = torch.randn(700, 32, generator=seeded())
    with LargestTensor() as largest:
        kmeans(vectors, 50, 3, seeded())
    assert largest.num_elements == 700 * 50
    with LargestTensor() as largest:  # the guard sees what it is meant to see
        (vectors[:, None] - vectors[None, :50]).square().sum(-1)
    assert largest.num_elements == 700 * 50 * 32


def test_empty_clusters_are_moved_onto_vectors():
    """Most of the vectors are one point, so that most of the clusters start on it and all but one of them lose it."""
    vectors = torch.cat([torch.zeros(900, 4), clusters(100, 20, 4)])
    start = draw_rows(vectors, 20, seeded())
    assert start.unique(dim=0).shape[0] < 8
    centroids, counts = kmeans(vectors, 20, 50, seeded())
    assert (counts > 0).sum() >= 15
    error = plain_distances(vectors, centroids).min(1).mean()
    assert error < 0.1 * plain_distances(vectors, start).min(1).mean()


def test_few_vectors():
    vectors = torch.randn(3, 4, generator=seeded())
    centroids, counts = kmeans(vectors, 8, 5, seeded())
    assert centroids.shape == (8, 4) and counts.sum() == 3 and centroids.isfinite().all()
    centroids, counts = kmeans(vectors, 3, 5, seeded())
    torch.testing.assert_close(centroids.sort(0).values, vectors.sort(0).values)
    assert counts.tolist() == [1, 1, 1]


def test_draw_rows_repeats_only_when_it_must():
    vectors = torch.arange(10.0).unsqueeze(1)
    assert draw_rows(vectors, 10, seeded()).unique().numel() == 10
    assert draw_rows(vectors, 25, seeded()).shape == (25, 1)
    assert torch.equal(draw_rows(vectors, 4, seeded(5)), draw_rows(vectors, 4, seeded(5)))
    assert not torch.equal(draw_rows(vectors, 10, seeded(5)), draw_rows(vectors, 10, seeded(6)))


def test_the_generator_alone_decides():
    vectors = clusters(300, 10, 4)
    first = kmeans(vectors, 10, 5, seeded(7))
    torch.manual_seed(99)
    second = kmeans(vectors, 10, 5, seeded(7))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
