"""How many one-second crops the data loader makes on one core."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import soundfile

from encodec_lab.data.carried_audio import carried_recording
from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.equalizer import RandomEqualizer
from encodec_lab.data.loader import ResumableLoader
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.mixing import Mixing, Strategy
from encodec_lab.data.reverb import RandomReverb
from encodec_lab.data.sampler import CounterBatchSampler
from encodec_lab.data.shard_building import write_shards
from encodec_lab.data.speed import RandomSpeed

_BATCH_SIZE = 16
_RECORDING_S = 60.0


class LoadingSpeed(NamedTuple):
    """One measurement.

    Attributes:
        what: the files, and what becomes of them.
        crops_per_core_s: crops of one second, per second of processor time of one thread.
    """

    what: str
    crops_per_core_s: float


def measure_loading(num_batches: int = 20) -> list[LoadingSpeed]:
    """Crops out of real audio in 16-bit FLAC files of a minute, with nothing else between files and batches.

    Per processor time, since that is what the cores of a loader's workers have, whoever else is on the machine; set
    torch's threads to one before.
    """
    speed, equalizer = RandomSpeed(1.0, [0.9, 1.1]), RandomEqualizer(1.0, [-6.0, 6.0], 8, 60.0, 24_000)
    pairs = Mixing({"two": Strategy(1.0, 2, None, [], reverb=True)}, [-10.0, 6.0], max_redraws=32)
    reverb = RandomReverb(1.0, [0.3, 1.3], [0.0, 12.0], 24_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mono, stereo, cd = (
            _write_recording(folder, rate_hz, channels)
            for rate_hz, channels in ((24_000, 1), (48_000, 2), (44_100, 2))
        )
        write_shards(mono, folder / "shards", 1 << 30, 0.0)
        cases = [
            ("24 kHz mono FLAC", mono, 24_000, 1, CropAugmentations()),
            ("the same in a tar shard", folder / "shards", 24_000, 1, CropAugmentations()),
            ("the same with speed and equalizer", mono, 24_000, 1, CropAugmentations(speed, equalizer)),
            (
                "the same, two mixed, with reverb",
                mono,
                24_000,
                1,
                CropAugmentations(mixing=pairs, crop=reverb),
            ),
            ("48 kHz stereo FLAC", stereo, 48_000, 2, CropAugmentations()),
            ("44.1 kHz stereo FLAC to 24 kHz mono", cd, 24_000, 1, CropAugmentations()),
        ]
        return [LoadingSpeed(case[0], _crops_per_core_s(*case[1:], num_batches)) for case in cases]


def _write_recording(folder: Path, sample_rate_hz: int, channels: int) -> Path:
    path = folder / f"{sample_rate_hz}.flac"
    recording = carried_recording(sample_rate_hz, channels, _RECORDING_S)
    soundfile.write(path, recording.T.numpy(), sample_rate_hz, subtype="PCM_16")
    return path


def _crops_per_core_s(
    data: Path, sample_rate_hz: int, channels: int, augmentations: CropAugmentations, num_batches: int
) -> float:
    crops = CropDataset(
        load_sources(data, 0.0), sample_rate_hz, sample_rate_hz, channels, 0, -60.0, 8, augmentations
    )
    batches = iter(
        ResumableLoader(crops, CounterBatchSampler(_BATCH_SIZE, num_batches + 1, 0, 1), 0, max_bad_share=0.0)
    )
    next(batches)  # fills caches
    started_s = time.process_time()
    for _ in batches:
        pass
    return num_batches * _BATCH_SIZE / (time.process_time() - started_s)
