"""Random crops for training, where crop number i depends on nothing but the seed and i."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from encodec_lab.data.augmentation import Augmentation
from encodec_lab.data.manifest import Source
from encodec_lab.data.mixing import Mixing, StrategyDraw
from encodec_lab.data.random_stream import random_stream
from encodec_lab.data.source_reader import Origin, ReadError, SourceReader
from encodec_lab.data.speed import RandomSpeed

# Keeps the numbers of this module apart from those of other users of the same seed.
_STREAM_TAG = 0x43524F50


class Crop(NamedTuple):
    """One crop, how it was made, and what went wrong on the way to it.

    Attributes:
        wav: [C, T] float32.
        strategy: its name in `Mixing`; "single" where nothing is mixed.
        origins: of each recording in it.
        gains_db: by which these were mixed; empty where nothing is.
        read_errors: (path, one line that says what is wrong) for each file that was drawn but could not be used.
    """

    wav: Tensor
    strategy: str
    origins: tuple[Origin, ...]
    gains_db: tuple[float, ...]
    read_errors: tuple[ReadError, ...]


class CropBatch(NamedTuple):
    """Several crops.

    Attributes:
        wav: [B, C, T] float32.
        read_errors: as in `Crop`, of all items.
    """

    wav: Tensor
    read_errors: tuple[ReadError, ...]


@dataclass(frozen=True)
class CropAugmentations:
    """What is done to crops, in this order; None for nothing.

    Args:
        speed: at which each recording is played.
        recording: done to each recording by itself.
        mixing: adds up several recordings, each normalised by the peak of its file.
        crop: done at the end, unless the strategy of mixing leaves reverberation out.
    """

    speed: RandomSpeed | None = None
    recording: Augmentation | None = None
    mixing: Mixing | None = None
    crop: Augmentation | None = None


class CropDataset(Dataset[CropBatch]):
    """Endless map-style data set of random crops; its keys are lists of indices, as `CounterBatchSampler` yields them.

    Each index has a random stream of its own (see `random_stream`). It decides the sources (by weight), the files (by
    duration), the offsets and the augmentations, so a crop is the same in any order, on any number of workers and
    ranks. A silent crop is drawn again from the same source, at most `max_redraws` times; then the loudest is taken. A
    file that turns out bad while reading is also drawn again. Files shorter than a crop are padded with zeros at their
    end.

    Args:
        sources: what to draw from, all with at least one file.
        num_samples: length of a crop at `sample_rate_hz`.
        channels: 1 or 2; files are mixed or copied to it.
        seed: 0 or more.
        silence_db: crops whose RMS is below this many dBFS are drawn again; None accepts silence.
        max_redraws: see above.
        augmentations: applied with the item's own stream.

    Attributes:
        num_files: in all sources.
        num_samples: as given.
        sample_rate_hz: as given.
        channels: as given.
        augmentations: as given.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        num_samples: int,
        sample_rate_hz: int,
        channels: int,
        seed: int,
        silence_db: float | None,
        max_redraws: int,
        augmentations: CropAugmentations,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"a crop needs at least one sample, got {num_samples}")
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {channels}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"the seed must be between 0 and 2^64 - 1, got {seed}")
        if max_redraws < 0:
            raise ValueError(f"max_redraws must be 0 or more, got {max_redraws}")
        self.num_files = sum(len(source.files) for source in sources)
        self._seed = seed
        self.num_samples = num_samples
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.augmentations = augmentations
        self._sources = sources
        self._silence_db = silence_db
        self._max_redraws = max_redraws
        self._strategies = StrategyDraw(augmentations.mixing, sources)
        self._reader = SourceReader(
            sources,
            num_samples,
            sample_rate_hz,
            channels,
            silence_db,
            max_redraws,
            augmentations.speed,
            normalizes=augmentations.mixing is not None,
        )

    def __getitem__(self, indices: Sequence[int]) -> CropBatch:
        crops = [self.draw(index) for index in indices]
        errors = tuple(error for crop in crops for error in crop.read_errors)
        return CropBatch(torch.stack([crop.wav for crop in crops]), errors)

    def draw(self, index: int) -> Crop:
        """Crop number `index` (0 or more, without end), with the files that failed on the way.

        Raises:
            ValueError: so many files of a source fail that no crop can be had.
        """
        rng = random_stream(self._seed, _STREAM_TAG, index)
        errors: list[ReadError] = []
        done = self.augmentations
        strategy, sources, reverb = self._strategies.draw(rng)
        recordings, origins = [], []
        for source in sources:
            wav, origin = self._reader.read(source, rng, errors)
            recordings.append(wav if done.recording is None else done.recording(wav, rng))
            origins.append(origin)
        wav, gains_db = (recordings[0], ()) if done.mixing is None else done.mixing.add_up(recordings, rng)
        if done.crop is not None and reverb:
            wav = done.crop(wav, rng)
        return Crop(wav, strategy, tuple(origins), gains_db, tuple(errors))

    def with_augmentations(self, augmentations: CropAugmentations) -> "CropDataset":
        """Crops of the same sources and seed, with these augmentations instead."""
        return CropDataset(
            self._sources,
            self.num_samples,
            self.sample_rate_hz,
            self.channels,
            self._seed,
            self._silence_db,
            self._max_redraws,
            augmentations,
        )
