"""Whole clips, for validation: always the same, in the same order."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from encodec_lab.data.audio_file import AudioFileError, AudioInfo, read_crop
from encodec_lab.data.convert import convert_audio
from encodec_lab.data.manifest import Source, report_bad_files


class ClipDataset(Dataset[tuple[Tensor, str]]):
    """Clips from their start, cut to `max_s`, converted: (wav [C, T], name).

    The name is the path below the folder that all clips share, without its suffix unless another differs in that
    alone. Every clip is read once at the
    start, since a file that turns out bad hours later would cost the training run; bad ones are left out with one
    BadAudioWarning.

    Args:
        sources: weights play no part.
        max_s: the longest clip, in seconds.
        sample_rate_hz: of the result.
        channels: of the result, 1 or 2.
        max_bad_share: the share of the files, 0 to 1, that may be bad; more is a ValueError.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        max_s: float,
        sample_rate_hz: int,
        channels: int,
        max_bad_share: float,
    ) -> None:
        if not max_s > 0:
            raise ValueError(f"clips must be cut to more than 0 s, got {max_s}")
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {channels}")
        self._max_s = max_s
        self._sample_rate_hz = sample_rate_hz
        self._channels = channels
        self._clips: list[AudioInfo] = []
        files = [info for source in sources for info in source.files]
        errors = []
        for info in files:
            try:
                self._read_start(info)
            except AudioFileError as error:
                errors.append(str(error))
            else:
                self._clips.append(info)
        report_bad_files(errors, len(files), max_bad_share, ", ".join(source.name for source in sources))
        self._names = _short_names([info.path for info in self._clips])

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        info = self._clips[index]
        wav = convert_audio(self._read_start(info), info.sample_rate_hz, self._sample_rate_hz, self._channels)
        return wav[:, : math.ceil(self._max_s * self._sample_rate_hz)], self._names[index]

    def _read_start(self, info: AudioInfo) -> Tensor:
        return read_crop(info.source, 0, math.ceil(self._max_s * info.sample_rate_hz))


class ClipLoader:
    """One clip at a time, for one rank: (wav [1, C, T], [name]), every `world_size`-th clip from `rank` on.

    Raises:
        ValueError: fewer clips than ranks.
    """

    def __init__(self, clips: ClipDataset, rank: int, world_size: int) -> None:
        if len(clips) < world_size:
            raise ValueError(
                f"{len(clips)} validation clips cannot be shared by {world_size} ranks; give one to each"
            )
        self._clips = clips
        self._indices = range(rank, len(clips), world_size)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[tuple[Tensor, list[str]]]:
        for index in self._indices:
            wav, name = self._clips[index]
            yield wav[None], [name]


def _short_names(paths: Sequence[Path]) -> list[str]:
    absolute = [Path(os.path.abspath(path)) for path in paths]
    shared = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
    below = [path.relative_to(shared) for path in absolute]
    num_with_stem = Counter(path.with_suffix("") for path in set(below))
    return [
        (path.with_suffix("") if num_with_stem[path.with_suffix("")] == 1 else path).as_posix()
        for path in below
    ]
