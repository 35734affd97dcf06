"""What is known of very many audio files, in a few arrays."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from encodec_lab.data.audio_file import AudioInfo
from encodec_lab.data.file_part import FilePart

_NONE = -1


class AudioTable(Sequence[AudioInfo]):
    """A sequence of `AudioInfo` that takes about 50 bytes an entry, besides its path.

    A loader's workers share it, as forked processes do: to look at an object counts a reference to it, which copies the
    page that it lies on, so that a list of a million objects would come to lie in the memory of every worker.
    """

    def __init__(self, infos: Iterable[AudioInfo]) -> None:
        paths: list[bytes] = []
        names: list[bytes] = []
        rows: list[tuple[int, int, int, int, int]] = []
        peaks: list[float] = []
        for info in infos:
            part = info.part
            paths.append(os.fsencode(str(info.path) if part is None else part.container))
            names.append(b"" if part is None else os.fsencode(part.name))
            offset = _NONE if part is None else part.offset
            num_bytes = _NONE if part is None or part.num_bytes is None else part.num_bytes
            rows.append((info.sample_rate_hz, info.channels, info.num_samples, offset, num_bytes))
            peaks.append(math.nan if info.peak is None else info.peak)
        self._paths = _Texts(paths)
        self._names = _Texts(names)
        self._rows: NDArray[np.int64] = np.array(rows, dtype=np.int64).reshape(-1, 5)
        self._peaks: NDArray[np.float64] = np.array(peaks, dtype=np.float64)

    @property
    def durations_s(self) -> NDArray[np.float64]:
        """Of each file, [N]."""
        durations_s: NDArray[np.float64] = self._rows[:, 2] / self._rows[:, 0]
        return durations_s

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> AudioInfo: ...
    @overload
    def __getitem__(self, index: slice) -> list[AudioInfo]: ...
    def __getitem__(self, index: int | slice) -> AudioInfo | list[AudioInfo]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rate_hz, channels, num_samples, offset, num_bytes = self._rows[index].tolist()
        peak = float(self._peaks[index])
        path, part = self._paths[index], None
        if offset != _NONE:
            part = FilePart(path, self._names[index], offset, None if num_bytes == _NONE else num_bytes)
            path = str(part)
        return AudioInfo(Path(path), rate_hz, channels, num_samples, None if math.isnan(peak) else peak, part)


class _Texts:
    """Strings in one array."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self._bytes = np.frombuffer(b"".join(texts), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, texts)])

    def __getitem__(self, index: int) -> str:
        index = index % (len(self._ends) - 1)
        return os.fsdecode(self._bytes[self._ends[index] : self._ends[index + 1]].tobytes())
