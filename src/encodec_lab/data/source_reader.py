"""Crops out of the files of each source, before anything is done to them."""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.nn import functional

from encodec_lab.data.audio_file import AudioFileError, AudioInfo
from encodec_lab.data.converted_audio import converted_length, read_converted_crop
from encodec_lab.data.file_peak import FilePeaks
from encodec_lab.data.manifest import Source
from encodec_lab.data.mixing import cumulative, pick
from encodec_lab.data.speed import RandomSpeed, rates_at_speed

# The path of a file that was drawn but could not be used, and one line that says what is wrong.
ReadError = tuple[str, str]

_MAX_BAD_READS = 32


class Origin(NamedTuple):
    """Where a recording comes from.

    Attributes:
        info: of the file.
        start_s: in it.
        speed: how many times faster it is played.
    """

    info: AudioInfo
    start_s: float
    speed: Fraction


class Recording(NamedTuple):
    """A crop of one file: wav [C, T] float32, and where it comes from."""

    wav: Tensor
    origin: Origin


class SourceReader:
    """Random crops [C, T] of single recordings, from a file drawn by its duration and an offset drawn uniformly.

    Args:
        sources: what to draw from, all with at least one file.
        num_samples: T, at `sample_rate_hz`; shorter files are padded with zeros at their end.
        channels: 1 or 2; files are mixed or copied to it.
        silence_db: crops whose RMS is below this many dBFS are drawn again; None accepts silence.
        max_redraws: how often at most; then the loudest is taken.
        speed: at which a crop is played; None leaves it.
        normalizes: whether to scale every crop by the peak of its file.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        num_samples: int,
        sample_rate_hz: int,
        channels: int,
        silence_db: float | None,
        max_redraws: int,
        speed: RandomSpeed | None,
        normalizes: bool,
    ) -> None:
        assert sources and all(len(source.files) and source.weight > 0 for source in sources)
        self._sources = list(sources)
        self._file_edges = [cumulative(source.files.durations_s) for source in sources]
        self._num_samples = num_samples
        self._sample_rate_hz = sample_rate_hz
        self._channels = channels
        self._silence_rms = 0.0 if silence_db is None else 10 ** (silence_db / 20)
        self._max_redraws = max_redraws
        self._speed = speed
        self._peaks = FilePeaks() if normalizes else None

    def read(self, source: int, rng: np.random.Generator, errors: list[ReadError]) -> Recording:
        """A crop of the source with this index; files that fail are added to `errors`, and others drawn.

        Raises:
            AudioFileError: so many files of the source fail that no crop can be had.
        """
        factor = Fraction(1) if self._speed is None else self._speed.draw(rng)
        num_bad = num_redraws = 0
        loudest: Recording | None = None
        loudest_rms = -1.0
        while loudest is None or (loudest_rms < self._silence_rms and num_redraws < self._max_redraws):
            info = self._sources[source].files[pick(self._file_edges[source], rng)]
            try:
                wav, start_s = self._read_file(info, factor, rng)
                rms = float(wav.square().mean().sqrt())
                if not math.isfinite(rms):
                    raise AudioFileError(f"{info.path}: holds samples too large for 32-bit audio")
                scale = 1.0 if self._peaks is None else self._peaks.scale(info)
            except AudioFileError as error:
                errors.append((str(info.path), str(error)))
                num_bad += 1
                if num_bad >= _MAX_BAD_READS:
                    raise AudioFileError(
                        f"{self._sources[source].name}: {num_bad} reads failed for one crop, last: {error}"
                    ) from error
                continue
            if loudest is not None:
                num_redraws += 1
            if rms > loudest_rms:
                loudest = Recording(wav * scale if scale != 1 else wav, Origin(info, start_s, factor))
                loudest_rms = rms
        num_missing = self._num_samples - loudest.wav.shape[-1]
        return loudest._replace(wav=functional.pad(loudest.wav, (0, num_missing))) if num_missing else loudest

    def _read_file(self, info: AudioInfo, factor: Fraction, rng: np.random.Generator) -> tuple[Tensor, float]:
        """A crop [C, T] from anywhere in the file, played `factor` times faster, and its start in s."""
        rate_hz = info.sample_rate_hz
        from_hz, to_hz = rates_at_speed(info.sample_rate_hz, self._sample_rate_hz, factor)
        info = dataclasses.replace(info, sample_rate_hz=from_hz)
        offset = int(rng.integers(max(0, converted_length(info, to_hz) - self._num_samples) + 1))
        wav = read_converted_crop(info, offset, self._num_samples, to_hz, self._channels)
        return wav, offset * from_hz / to_hz / rate_hz
