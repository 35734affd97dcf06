import multiprocessing
import os
import signal
from itertools import islice

import pytest
import torch

from encodec_lab.data.audio_file import AudioFileError, BadAudioWarning
from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.equalizer import RandomEqualizer
from encodec_lab.data.loader import ResumableLoader, _received
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.mixing import Mixing, Strategy
from encodec_lab.data.reverb import RandomReverb
from encodec_lab.data.sampler import CounterBatchSampler
from encodec_lab.data.speed import RandomSpeed

# On one core, for several workers.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


EVERYTHING = CropAugmentations(
    RandomSpeed(0.5, [0.9, 1.1]),
    RandomEqualizer(0.5, [-6.0, 6.0], 8, 1_000.0, 24_000),
    Mixing({str(n): Strategy(1 / 3, n, None, [], reverb=n > 1) for n in (1, 2, 3)}, [-10.0, 6.0], 8),
    RandomReverb(0.5, [0.3, 1.3], [0.0, 12.0], 24_000),
)


@pytest.fixture(params=["plain", "all augmentations"])
def crops(write_noise, tmp_path, request):
    write_noise("set/1.wav", 2.0)
    write_noise("set/2.wav", 2.0)
    return dataset(tmp_path / "set", CropAugmentations() if request.param == "plain" else EVERYTHING)


def dataset(folder, augmentations=None):
    sources = load_sources(folder, 0.0)
    return CropDataset(
        sources, 100, 24_000, 1, 0, None, max_redraws=8, augmentations=augmentations or CropAugmentations()
    )


def loader(
    crops, num_workers=0, rank=0, world_size=1, global_batch_size=4, num_batches=5, max_bad_share=0.25
):
    sampler = CounterBatchSampler(global_batch_size, num_batches, rank, world_size)
    return ResumableLoader(crops, sampler, num_workers, max_bad_share)


def stream(crops, num_items):
    return torch.stack([crops.draw(i).wav for i in range(num_items)])


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_epochs_follow_each_other(crops, num_workers):
    batches = loader(crops, num_workers)
    assert len(batches) == 5
    wav = torch.cat([batch for _ in range(3) for batch in batches])
    assert torch.equal(wav, stream(crops, 3 * 5 * 4))
    batches.close()


def test_two_ranks_make_one(crops):
    ranks = [list(loader(crops, rank=rank, world_size=2)) for rank in (0, 1)]
    joined = torch.cat([torch.cat(shares) for shares in zip(*ranks, strict=True)])
    assert torch.equal(joined, stream(crops, 20))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("num_consumed", [0, 2, 5, 8])
def test_the_state_counts_what_was_handed_out(crops, num_workers, num_consumed):
    before = loader(crops, num_workers)
    for _ in islice((batch for _ in range(2) for batch in before), num_consumed):
        pass
    state = before.state_dict()
    before.close()
    assert state == {"next_index": 4 * num_consumed}
    # Another number of workers and another batch size go on at the same place.
    after = loader(crops, 2 - num_workers, global_batch_size=2)
    after.load_state_dict(state)
    iter(after)  # one that is given up at once, as Lightning does, costs nothing
    assert torch.equal(torch.cat(list(after)), stream(crops, 50)[4 * num_consumed :][:10])
    after.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_abandoned_iteration_loses_nothing(crops, num_workers):
    batches = loader(crops, num_workers)
    wav = torch.cat([*islice(batches, 2), *batches])
    assert torch.equal(wav, stream(crops, 28))
    batches.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_global_random_state_is_untouched(crops, num_workers):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    batches = loader(crops, num_workers)
    list(batches)
    batches.close()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_files_are_named_once_each(write_noise, write_nan, tmp_path, num_workers):
    for i in range(4):
        write_noise(f"set/{i}.wav", 1.0)
    write_nan("set/bad1.wav", 1.0)
    write_nan("set/bad2.wav", 1.0)
    crops = dataset(tmp_path / "set")
    batches = loader(crops, num_workers, num_batches=20, max_bad_share=0.5)
    with pytest.warns(BadAudioWarning) as caught:
        wav = torch.cat(list(batches))
    batches.close()
    assert sorted(str(warning.message).count("bad1.wav") for warning in caught) == [0, 1]
    assert torch.isfinite(wav).all()
    strict = loader(crops, num_workers, num_batches=20, max_bad_share=0.2)
    with pytest.warns(BadAudioWarning), pytest.raises(ValueError, match=r"2 of 6 .*bad"):
        list(strict)
    strict.close()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_failure_reads_the_same_from_a_worker(write_nan, tmp_path, num_workers):
    write_nan("set/bad.wav", 1.0)
    batches = loader(dataset(tmp_path / "set"), num_workers)
    with pytest.raises(AudioFileError) as caught:
        next(iter(batches))
    batches.close()
    bad = tmp_path / "set/bad.wav"
    message = f"{bad.parent}: 32 reads failed for one crop, last: {bad}: holds NaN or infinite samples"
    assert str(caught.value) == message


def test_a_negative_number_of_workers_is_refused(crops):
    with pytest.raises(ValueError, match="-1"):
        loader(crops, -1)


def test_a_worker_that_is_killed_ends_the_run_at_once(write_noise, tmp_path):
    """As the kernel does where memory is short: no wait for batches that nobody makes."""
    write_noise("set/1.wav", 2.0)
    batches = iter(loader(dataset(tmp_path / "set"), num_workers=2, num_batches=100))
    next(batches)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="worker"):
        list(batches)


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), EOFError()])
def test_a_batch_that_a_worker_has_announced_and_cannot_send_is_told_as_its_end(error):
    def batches():
        yield "batch"
        raise error

    received = _received(batches())
    assert next(received) == "batch"
    with pytest.raises(RuntimeError, match="worker of the data loader ended"):
        next(received)
