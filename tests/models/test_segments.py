"""Cutting into segments and overlap-add."""

import pytest
import torch

from encodec_lab.models.segments import cut, overlap_add

LENGTH, STRIDE = 48_000, 47_520


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [
        (1, [1]),
        (STRIDE, [STRIDE]),
        (STRIDE + 1, [STRIDE + 1, 1]),
        (LENGTH, [LENGTH, LENGTH - STRIDE]),  # a clip of 1.0 s: the second segment is redundant
        (2 * STRIDE, [LENGTH, STRIDE]),
        (2 * STRIDE + 1, [LENGTH, STRIDE + 1, 1]),
        (3 * LENGTH, [LENGTH, LENGTH, LENGTH, 3 * LENGTH - 3 * STRIDE]),
    ],
)
def test_lengths_of_segments(num_samples, expected):
    parts = cut(torch.zeros(1, 1, num_samples), LENGTH, STRIDE)
    assert [part.shape[-1] for part in parts] == expected


@pytest.mark.parametrize("num_samples", [1, 5, 90, 91, 100, 101, 180, 181, 190, 365])
@pytest.mark.parametrize("stride", [90, 50, 30, 100])
def test_overlap_add_undoes_cut(num_samples, stride):
    wav = torch.randn(2, 2, num_samples, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(overlap_add(cut(wav, 100, stride), stride), wav)


def test_overlap_add_of_ones_is_ones():
    ones = torch.ones(1, 2, 2 * LENGTH + 100)
    torch.testing.assert_close(overlap_add(cut(ones, LENGTH, STRIDE), STRIDE), ones)


def test_overlap_fades_from_one_segment_to_the_next():
    joined = overlap_add([torch.zeros(1, 1, 100), torch.ones(1, 1, 100)], 80)[0, 0]
    assert joined[:80].eq(0).all() and joined[100:].eq(1).all()
    assert joined[80:100].diff().gt(0).all() and 0 < joined[80] < joined[99] < 1
    torch.testing.assert_close(joined[80:100] + joined[80:100].flip(0), torch.ones(20))  # symmetric


def test_last_segment_but_one_may_end_last():
    """Whole frames make a segment longer than what was cut; the reference package fails here."""
    joined = overlap_add([torch.ones(1, 1, 100), torch.full((1, 1, 5), 3.0)], 90)
    assert joined.shape == (1, 1, 100)
    assert joined[0, 0, :90].eq(1).all() and joined[0, 0, 95:].eq(1).all()
    assert joined[0, 0, 90:95].gt(1).all() and joined[0, 0, 90:95].lt(3).all()


def test_overlap_add_equals_the_reference(reference_package):
    torch.manual_seed(0)
    for last in (60, 99, 100):
        parts = [torch.randn(2, 2, 100), torch.randn(2, 2, 100), torch.randn(2, 2, last)]
        for stride in (99, 80, 45):
            assert torch.equal(
                overlap_add(parts, stride), reference_package.utils._linear_overlap_add(parts, stride)
            )
