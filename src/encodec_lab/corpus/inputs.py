"""What a corpus consists of: recordings with names of their own, and which of them one job of an array gets."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from encodec_lab.data.audio_file import AudioInfo
from encodec_lab.data.file_part import FilePart, is_url
from encodec_lab.data.manifest import list_sources
from encodec_lab.data.manifest_file import Listed
from encodec_lab.data.tar_shards import member_names


@dataclass(frozen=True)
class CorpusInput:
    """A recording, and its path below the folder or manifest that was named, with `/`; no two have the same."""

    name: str
    source: Path | FilePart


@dataclass(frozen=True)
class ArraySlot:
    """Job `index`, from 0 on, of `size` jobs that share a corpus."""

    index: int
    size: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.size:
            raise ValueError(f"array_index must be from 0 to array_size - 1, got {self.index} of {self.size}")

    def __str__(self) -> str:
        return f"{self.index}-of-{self.size}"

    def share(self, inputs: Sequence[CorpusInput]) -> list[CorpusInput]:
        """Every `size`-th input from `index` on."""
        return list(inputs[self.index :: self.size])


def array_slot(index: int | None, size: int | None, environment: Mapping[str, str]) -> ArraySlot:
    """The slot that is given, else that of the SLURM array job that this is, else the only one.

    Raises:
        ValueError: one of the two is missing, or they are impossible.
    """
    if (index is None) != (size is None):
        raise ValueError(f"give both of array_index and array_size, or neither; got {index} and {size}")
    if index is not None and size is not None:
        return ArraySlot(index, size)
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return ArraySlot(0, 1)
    # Arrays need not start at 0 (--array=1-8), nor go in steps of 1 (--array=0-14:2).
    first = int(environment.get("SLURM_ARRAY_TASK_MIN", 0))
    step = int(environment.get("SLURM_ARRAY_TASK_STEP", 1))
    place = (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // step
    return ArraySlot(place, int(environment["SLURM_ARRAY_TASK_COUNT"]))


def list_inputs(location: str | Path) -> list[CorpusInput]:
    """The recordings that a folder, manifest, tar or audio file names, in an order that is always the same.

    Raises:
        ValueError: there are none, or two would have one name.
        OSError: a folder or manifest cannot be read.
    """
    sources = [_absolute(item) for item in list_sources(location)]
    inputs = [CorpusInput(*pair) for pair in zip(_names(location, sources), sources, strict=True)]
    seen: set[str] = set()
    for item in inputs:
        if item.name in seen:
            raise ValueError(f"{location}: lists {item.name} twice, and each recording is to be encoded once")
        seen.add(item.name)
    return inputs


def _names(location: str | Path, sources: Sequence[Path | FilePart]) -> list[str]:
    """Paths below the named folder, or the manifest's; where some lie elsewhere, below the folder that all share."""
    if is_url(location):
        return member_names(sources)
    base = os.path.abspath(location if Path(location).is_dir() else Path(location).parent)
    names = [PurePosixPath(os.path.relpath(os.path.abspath(str(source)), base)) for source in sources]
    if any(name.parts[0] == ".." for name in names) or any(is_url(str(source)) for source in sources):
        return member_names(sources)
    return [str(name) for name in names]


def _absolute(item: Listed) -> Path | FilePart:
    """Where workers elsewhere, with another working folder, find it."""
    source = item.source if isinstance(item, AudioInfo) else item
    if isinstance(source, Path):
        return source.absolute()
    if is_url(source.container):
        return source
    return FilePart(os.path.abspath(source.container), source.name, source.offset, source.num_bytes)
