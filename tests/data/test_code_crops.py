import itertools

import numpy as np
import pytest
import torch

from encodec_lab.data.code_crops import NO_CODE, CodeCrops, CodeLoader, RecordLoader, cut_records
from encodec_lab.data.sampler import CounterBatchSampler

# Codes say where they are: recording * 1000 + frame, plus 100 for the second codebook.
LONG, SHORT = (
    (1000 * r + np.arange(frames) + 100 * np.arange(2)[:, None]).astype(np.int16)
    for r, frames in enumerate((50, 3))
)


def crops(seed=0, weights=(1, 1)):
    return CodeCrops([LONG, SHORT], weights, num_frames=10, seed=seed)


def test_a_sequence_is_a_piece_of_one_recording():
    starts, shorts = set(), 0
    for index in range(300):
        codes = crops().draw(index)
        assert (codes.shape, codes.dtype) == ((2, 10), np.int16)
        if codes[0, 0] >= 1000:
            shorts += 1
            np.testing.assert_array_equal(codes[:, :3], SHORT)
            assert (codes[:, 3:] == NO_CODE).all()
        else:
            starts.add(int(codes[0, 0]))
            np.testing.assert_array_equal(codes, LONG[:, codes[0, 0] : codes[0, 0] + 10])
    assert starts == set(range(41)), "a sequence may start anywhere"
    assert 110 < shorts < 190


def test_weights():
    assert all(crops(weights=(0, 1)).draw(index)[0, 0] >= 1000 for index in range(50))


def test_a_sequence_hangs_on_seed_and_index_alone():
    drawn = [crops(seed=7).draw(index) for index in range(5)]
    again = crops(seed=7)
    for index in (4, 2, 0, 3, 1):
        np.testing.assert_array_equal(again.draw(index), drawn[index])
    assert not np.array_equal(crops(seed=8).draw(0), drawn[0])
    assert not np.array_equal(drawn[0], drawn[1])


def test_two_ranks_share_the_batches_of_one():
    (whole,) = list(CodeLoader(crops(), CounterBatchSampler(4, 1, 0, 1)))
    halves = [next(iter(CodeLoader(crops(), CounterBatchSampler(4, 1, rank, 2)))) for rank in (0, 1)]
    assert torch.equal(whole, torch.cat(halves))
    assert (whole.shape, whole.dtype) == ((4, 2, 10), torch.int16)


def test_a_loader_goes_on_from_its_state():
    def loader():
        return CodeLoader(crops(), CounterBatchSampler(2, 3, 0, 1))

    whole = loader()
    batches = [*whole, *whole]
    assert len(batches) == 6
    stopped = loader()
    given = list(itertools.islice(stopped, 2))
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    given += list(resumed)
    assert all(map(torch.equal, given, batches))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_record_is_measured_once(world_size):
    records = cut_records([LONG, SHORT], 20)
    assert [codes.shape[1] for codes in records] == [20, 20, 10, 3]
    np.testing.assert_array_equal(np.concatenate(records[:3], axis=1), LONG)
    loaders = [RecordLoader(records, rank, world_size) for rank in range(world_size)]
    given = [codes for loader in loaders for batch in loader for codes in batch.tolist()]
    assert sorted(given) == sorted(codes.tolist() for codes in records)
    assert sum(map(len, loaders)) == sum(len(list(loader)) for loader in loaders)


def test_mistakes():
    with pytest.raises(ValueError, match="2 validation records cannot be shared by 3 ranks"):
        RecordLoader(cut_records([LONG], 25), 0, 3)
    with pytest.raises(ValueError, match="at least two frames, got 1"):
        CodeCrops([LONG], [1], 1, 0)
    with pytest.raises(ValueError, match="seed must be between 0 and .*, got -1"):
        CodeCrops([LONG], [1], 5, -1)
