"""Random crops for training, where crop number i depends on nothing but the seed and i."""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from encodec_lab.data.audio_file import AudioFileError, AudioInfo
from encodec_lab.data.augmentation import Augmentation
from encodec_lab.data.converted_audio import converted_length, read_converted_crop
from encodec_lab.data.manifest import Source
from encodec_lab.data.random_stream import random_stream
from encodec_lab.data.speed import RandomSpeed, rates_at_speed

ReadError = tuple[str, str]

# Keeps the numbers of this module apart from those of other users of the same seed.
_STREAM_TAG = 0x43524F50
_MAX_BAD_READS = 32


class Crop(NamedTuple):
    """One crop, and what went wrong on the way to it.

    Attributes:
        wav: [C, T] float32.
        read_errors: (path, one line that says what is wrong) for each file that was drawn but could not be used.
    """

    wav: Tensor
    read_errors: tuple[ReadError, ...]


class CropBatch(NamedTuple):
    """Several crops.

    Attributes:
        wav: [B, C, T] float32.
        read_errors: as in `Crop`, of all items.
    """

    wav: Tensor
    read_errors: tuple[ReadError, ...]


class CropDataset(Dataset[CropBatch]):
    """Endless map-style data set of random crops; its keys are lists of indices, as `CounterBatchSampler` yields them.

    Each index has a random stream of its own (see `random_stream`). It decides the source (by weight), the file (by
    duration), the offset and the augmentation, so a crop is the same in any order, on any number of workers and ranks.
    A silent crop is drawn again from the same source, at most `max_redraws` times; then the loudest is taken. A file
    that turns out bad while reading is also drawn again. Files shorter than a crop are padded with zeros at their end.

    Args:
        sources: what to draw from, all with at least one file.
        num_samples: length of a crop at `sample_rate_hz`.
        channels: 1 or 2; files are mixed or copied to it.
        seed: 0 or more.
        silence_db: crops whose RMS is below this many dBFS are drawn again; None accepts silence.
        max_redraws: see above.
        speed: at which a crop is played; None leaves it.
        augment: applied last, with the item's own stream; None changes nothing.
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
        speed: RandomSpeed | None,
        augment: Augmentation | None,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"a crop needs at least one sample, got {num_samples}")
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {channels}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"the seed must be between 0 and 2^64 - 1, got {seed}")
        if max_redraws < 0:
            raise ValueError(f"max_redraws must be 0 or more, got {max_redraws}")
        assert sources and all(source.files and source.weight > 0 for source in sources)
        self.num_samples = num_samples
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.seed = seed
        self.max_redraws = max_redraws
        self.speed = speed
        self.augment = augment
        self._silence_rms = 0.0 if silence_db is None else 10 ** (silence_db / 20)
        self._sources = list(sources)
        self._source_edges = _cumulative([source.weight for source in sources])
        self._file_edges = [_cumulative([info.duration_s for info in source.files]) for source in sources]

    @property
    def num_files(self) -> int:
        return sum(len(source.files) for source in self._sources)

    def __getitem__(self, indices: Sequence[int]) -> CropBatch:
        crops = [self.draw(index) for index in indices]
        errors = tuple(error for crop in crops for error in crop.read_errors)
        return CropBatch(torch.stack([crop.wav for crop in crops]), errors)

    def draw(self, index: int) -> Crop:
        """Crop number `index` (0 or more, without end), with the files that failed on the way.

        Raises:
            ValueError: so many files of the source fail that no crop can be had.
        """
        rng = random_stream(self.seed, _STREAM_TAG, index)
        errors: list[ReadError] = []
        wav = self._read(_pick(self._source_edges, rng), rng, errors)
        if self.augment is not None:
            wav = self.augment(wav, rng)
        return Crop(wav, tuple(errors))

    def _read(self, source: int, rng: np.random.Generator, errors: list[ReadError]) -> Tensor:
        """A crop [C, T] of this source at its full length, not augmented; files that fail are added to `errors`."""
        factor = Fraction(1) if self.speed is None else self.speed.draw(rng)
        loudest: Tensor | None = None
        loudest_rms = -1.0
        num_redraws = 0
        while loudest is None or (loudest_rms < self._silence_rms and num_redraws < self.max_redraws):
            info = self._sources[source].files[_pick(self._file_edges[source], rng)]
            try:
                wav = self._read_file(info, factor, rng)
                rms = float(wav.square().mean().sqrt())
                if not math.isfinite(rms):
                    raise AudioFileError(f"{info.path}: holds samples too large for 32-bit audio")
            except AudioFileError as error:
                errors.append((str(info.path), str(error)))
                if len(errors) >= _MAX_BAD_READS:
                    raise AudioFileError(
                        f"{self._sources[source].name}: {len(errors)} reads failed for one crop, last: {error}"
                    ) from error
                continue
            if loudest is not None:
                num_redraws += 1
            if rms > loudest_rms:
                loudest, loudest_rms = wav, rms
        return torch.nn.functional.pad(loudest, (0, self.num_samples - loudest.shape[-1]))

    def _read_file(self, info: AudioInfo, factor: Fraction, rng: np.random.Generator) -> Tensor:
        """A crop from anywhere in the file, played `factor` times faster: [C, T], shorter if the file is."""
        from_hz, to_hz = rates_at_speed(info.sample_rate_hz, self.sample_rate_hz, factor)
        info = dataclasses.replace(info, sample_rate_hz=from_hz)
        offset = int(rng.integers(max(0, converted_length(info, to_hz) - self.num_samples) + 1))
        return read_converted_crop(info, offset, self.num_samples, to_hz, self.channels)


def _cumulative(weights: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    edges /= edges[-1]
    return edges


def _pick(edges: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator) -> int:
    return int(np.searchsorted(edges, rng.random(), side="right"))
