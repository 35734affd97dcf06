"""Cutting into segments and overlap-add."""

import pytest
import torch

from encodec_lab.models.segments import OverlapAdder, cut, cut_blocks, lengths, overlap_add

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


@pytest.mark.parametrize("num_samples", [1, 90, 99, 100, 101, 180, 365])
@pytest.mark.parametrize("block_samples", [1, 70, 1000])
def test_blocks_are_cut_as_the_whole_is(num_samples, block_samples):
    wav = torch.randn(2, num_samples)
    for stride in (90, 30, 100):
        parts = list(cut_blocks(wav.split(block_samples, dim=-1), 100, stride))
        expected = cut(wav, 100, stride)
        assert len(parts) == len(expected)
        assert all(torch.equal(part, wanted) for part, wanted in zip(parts, expected, strict=True))
    assert list(cut_blocks([], 100, 90)) == []


def test_overlap_add_gives_a_stride_for_a_segment():
    adder = OverlapAdder(90)
    got = [adder.push(torch.ones(1, 2, length)).shape[-1] for length in (100, 100, 95)]
    assert got == [90] * 3 and adder.flush().shape == (1, 2, 5)
    adder = OverlapAdder(90)
    assert adder.push(torch.ones(1, 2, 50)).shape[-1] == 50 and adder.flush().shape[-1] == 0


def test_segments_that_cannot_be_joined_are_refused():
    with pytest.raises(ValueError, match="101 samples is longer than the first, 100"):
        overlap_add([torch.ones(1, 1, 100), torch.ones(1, 1, 101)], 90)
    with pytest.raises(ValueError, match="80 samples, shorter than the stride 90, is not the last"):
        overlap_add([torch.ones(1, 1, 100), torch.ones(1, 1, 80), torch.ones(1, 1, 100)], 90)
    with pytest.raises(ValueError, match="at least one frame"):
        overlap_add([], 90)


@pytest.mark.parametrize("num_samples", [1, STRIDE, STRIDE + 1, LENGTH, 2 * STRIDE + 1])
def test_lengths_are_those_of_cut(num_samples):
    parts = cut(torch.zeros(1, 1, num_samples), LENGTH, STRIDE)
    assert list(lengths(num_samples, LENGTH, STRIDE)) == [part.shape[-1] for part in parts]


def test_lengths_cost_nothing_before_they_are_asked_for():
    assert next(lengths(10**30, LENGTH, STRIDE)) == LENGTH
