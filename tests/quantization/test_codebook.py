"""One codebook: its start, its moving averages, dead codes."""

import pytest
import torch

from encodec_lab.quantization.codebook import EmaCodebook

SIZE, DIMENSION = 8, 3


def codebook(decay: float = 0.9, dead_code_share: float = 0.1) -> EmaCodebook:
    """Started with ten vectors for each code and step."""
    torch.manual_seed(0)
    started = EmaCodebook(SIZE, DIMENSION)
    started.configure_learning(decay, dead_code_share)
    started.start(torch.randn(SIZE, DIMENSION), torch.full((SIZE,), 10.0), 10 * SIZE)
    return started


def test_buffers_have_the_names_and_shapes_of_the_reference():
    shapes = {name: tuple(buffer.shape) for name, buffer in EmaCodebook(SIZE, DIMENSION).named_buffers()}
    assert shapes == {"inited": (1,), "cluster_size": (8,), "embed": (8, 3), "embed_avg": (8, 3)}


def test_is_not_started_when_new():
    assert EmaCodebook(SIZE, DIMENSION).inited.item() == 0
    assert codebook().inited.item() == 1


def test_start_counts_vectors_of_one_step():
    centroids = torch.randn(SIZE, DIMENSION)
    counts = torch.arange(1.0, SIZE + 1) * 10  # of 360 vectors, gathered over several steps of 90
    started = EmaCodebook(SIZE, DIMENSION)
    started.start(centroids, counts, 90)
    assert torch.equal(started.embed, centroids)
    torch.testing.assert_close(started.cluster_size, counts / 4)
    torch.testing.assert_close(started.embed_avg, centroids * counts.unsqueeze(1) / 4)


def test_the_same_vectors_again_leave_the_start_as_it_is():
    started = codebook()
    before = started.embed.clone()
    counts = started.cluster_size.clone()
    for _ in range(50):
        started.update(counts, before * counts.unsqueeze(1), torch.full((SIZE, DIMENSION), 9.0))
    torch.testing.assert_close(started.embed, before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(started.cluster_size, counts)


def test_update_is_a_moving_average_of_counts_and_sums():
    learning = codebook(decay=0.7)
    size, average = learning.cluster_size.double(), learning.embed_avg.double()
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        counts = torch.randint(5, 15, (SIZE,), generator=generator).float()
        sums = torch.randn(SIZE, DIMENSION, generator=generator) * counts.unsqueeze(1)
        learning.update(counts, sums, torch.zeros(SIZE, DIMENSION))
        size = 0.7 * size + 0.3 * counts
        average = 0.7 * average + 0.3 * sums
    torch.testing.assert_close(learning.cluster_size, size.float())
    torch.testing.assert_close(learning.embed_avg, average.float())
    torch.testing.assert_close(learning.embed, (average / size.unsqueeze(1)).float(), rtol=1e-4, atol=1e-5)


def test_encode_and_decode():
    started = codebook()
    codes = torch.tensor([[3, 1], [7, 0]])
    entries = started.decode(codes)
    assert entries.shape == (2, 2, DIMENSION) and torch.equal(entries[1, 0], started.embed[7])
    near = started.decode(torch.arange(SIZE)) + 1e-3
    before = {name: buffer.clone() for name, buffer in started.named_buffers()}
    assert started.train().encode(near).tolist() == list(range(SIZE))
    assert all(torch.equal(buffer, before[name]) for name, buffer in started.named_buffers())


def test_a_code_is_dead_under_its_share_of_uniform_usage_after_the_update():
    learning = codebook(decay=0.5, dead_code_share=0.5)
    counts = torch.tensor([10.0, 10, 10, 10, 10, 10, 10, 10])
    learning.cluster_size[0] = 0.1  # dead but for this step
    learning.cluster_size[1], counts[1] = 9.0, 0.0  # 4.5 after this step, uniform usage is 8.6
    learning.cluster_size[2], counts[2] = 7.0, 0.0  # 3.5
    learning.cluster_size[3], counts[3] = 9.0, 1.0  # 5.0
    candidates = 100 + torch.arange(SIZE * DIMENSION).view(SIZE, DIMENSION).float()
    learning.update(counts, learning.embed * counts.unsqueeze(1), candidates)
    replaced = learning.embed.eq(candidates).all(1)
    assert learning.cluster_size.sum() / SIZE == pytest.approx(9, rel=0.2)
    assert replaced.tolist() == [False, False, True, False, False, False, False, False]


def test_a_moved_code_lives_as_one_in_ordinary_use():
    learning = codebook()
    learning.cluster_size[4] = 0.01
    counts = torch.full((SIZE,), 10.0)
    counts[4] = 0
    candidates = torch.full((SIZE, DIMENSION), 5.0)
    learning.update(counts, learning.embed * counts.unsqueeze(1), candidates)
    assert torch.equal(learning.embed[4], candidates[4])
    others = [code for code in range(SIZE) if code != 4]
    assert 0.8 < learning.cluster_size[4] / learning.cluster_size[others].mean() < 1.2
    # A step later, chosen by vectors around 5.2, it has moved a little that way; nothing has sent it elsewhere.
    counts[4] = 10
    sums = learning.embed * counts.unsqueeze(1)
    sums[4] = 5.2 * 10
    learning.update(counts, sums, torch.full((SIZE, DIMENSION), -50.0))
    assert ((learning.embed[4] > 5.0) & (learning.embed[4] < 5.1)).all()


def test_replacement_takes_nothing_from_the_other_codes():
    left_alone, learning = codebook(dead_code_share=0.0), codebook(dead_code_share=0.1)
    for each in (left_alone, learning):
        each.cluster_size[4] = 0.01
        counts = torch.full((SIZE,), 10.0)
        counts[4] = 0
        each.update(counts, each.embed * counts.unsqueeze(1), torch.full((SIZE, DIMENSION), 5.0))
    others = [code for code in range(SIZE) if code != 4]
    torch.testing.assert_close(learning.embed[others], left_alone.embed[others])
    assert torch.equal(learning.cluster_size[others], left_alone.cluster_size[others])
