from itertools import islice

import pytest

from encodec_lab.data.sampler import CounterBatchSampler


def test_the_shares_of_the_ranks_make_the_global_batch():
    single = list(CounterBatchSampler(6, 4, 0, 1))
    assert single == [list(range(6 * b, 6 * b + 6)) for b in range(4)]
    for world_size in (2, 3, 6):
        ranks = [list(CounterBatchSampler(6, 4, rank, world_size)) for rank in range(world_size)]
        assert [sum(shares, []) for shares in zip(*ranks, strict=True)] == single


def test_iteration_starts_where_it_is_told():
    sampler = CounterBatchSampler(4, 3, 1, 2)
    sampler.next_index = 100
    assert list(sampler) == [[102, 103], [106, 107], [110, 111]]
    assert list(islice(sampler, 1)) == [[102, 103]]
    assert len(sampler) == 3


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="10 items .* 4 ranks"):
        CounterBatchSampler(10, 1, 0, 4)
    with pytest.raises(ValueError, match="0"):
        CounterBatchSampler(0, 1, 0, 1)
