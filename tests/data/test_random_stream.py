"""Streams of random numbers by seed, tag and index."""

import numpy as np

from encodec_lab.data.random_stream import random_stream


def test_streams_hang_on_seed_tag_and_index_alone():
    first = random_stream(7, 1, 5).random(4)
    assert np.array_equal(random_stream(7, 1, 5).random(4), first)
    others = [random_stream(8, 1, 5), random_stream(7, 2, 5), random_stream(7, 1, 6), random_stream(7, 1, 0)]
    assert not any(np.isin(first, other.random(1000)).any() for other in others)


def test_the_largest_seed_and_an_index_that_no_run_reaches():
    assert 0 <= random_stream(2**64 - 1, 2**64 - 1, 2**60).random() < 1


def test_the_numbers_stay_the_same():
    """Of crop 3 of seed 1234: runs that are resumed go on with the same data."""
    assert random_stream(1234, 0x43524F50, 3).integers(1000, size=4).tolist() == [275, 990, 504, 792]
