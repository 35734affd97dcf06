"""Uncompressed tar files that hold audio: what is in them, and how they are written."""

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from encodec_lab.data.audio_folder import AUDIO_SUFFIXES
from encodec_lab.data.file_part import FilePart, PartReader, open_binary

SHARD_SUFFIX = ".tar"
_TAR_BLOCK_BYTES = 512
_COPY_BYTES = 1 << 20


def audio_members(container: str | Path) -> Iterator[FilePart]:
    """The audio files in an uncompressed tar, told by their suffixes, in their order; hidden ones are left out.

    Raises:
        ValueError: it is no such tar.
        OSError: it cannot be read.
    """
    try:
        with open_binary(container) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                name = PurePosixPath(member.name)
                if member.isreg() and name.suffix.lower() in AUDIO_SUFFIXES and not name.name.startswith("."):
                    yield FilePart(str(container), member.name, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise ValueError(f"{container}: not an uncompressed tar file ({error})") from error


def shard_path(folder: Path, number: int) -> Path:
    """Where `ShardWriter` puts the shard of this number, which counts from 0."""
    return folder / f"shard-{number:05d}{SHARD_SUFFIX}"


class ShardWriter:
    """Writes audio files into `shard-00000.tar` and so on, each until it holds `shard_bytes` or more.

    Members carry names, sizes and contents alone, so the same files always give the same shards. For a `with`.

    Args:
        folder: that takes the shards.
        shard_bytes: when to begin another shard.
        start: (shards that there are already, bytes of the last to keep), to go on behind them; the shards after these
            are overwritten.

    Raises:
        ValueError: `shard_bytes` is none.
        OSError: the last shard cannot be opened.
    """

    def __init__(self, folder: Path, shard_bytes: int, start: tuple[int, int] = (0, 0)) -> None:
        if shard_bytes < 1:
            raise ValueError(f"a shard must hold a byte or more, got {shard_bytes}")
        self.num_shards, num_kept_bytes = start
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._shard: io.BufferedRandom | io.BufferedWriter | None = None
        if self.num_shards:
            self._shard = shard_path(folder, self.num_shards - 1).open("r+b")
            self._shard.seek(num_kept_bytes)
            self._shard.truncate()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()

    @property
    def position(self) -> tuple[int, int]:
        """What `start` goes on from: the shards, and the bytes of the last, so far."""
        return self.num_shards, 0 if self._shard is None else self._shard.tell()

    def add(self, source: Path | FilePart, name: str) -> tuple[FilePart, str]:
        """Append a file; gives its place, and the SHA-256 of its bytes. OSError if it cannot be copied.

        Its bytes stay whatever ends the process from here on.
        """
        if self._shard is not None and self._shard.tell() >= self._shard_bytes:
            self._finish()
        if self._shard is None:
            self._shard = shard_path(self._folder, self.num_shards).open("wb")
            self.num_shards += 1
        with opened_bytes(source) as file:
            entry = tarfile.TarInfo(name)
            entry.size = file.seek(0, io.SEEK_END)
            file.seek(0)
            self._shard.write(entry.tobuf(tarfile.PAX_FORMAT))
            part = FilePart(self._shard.name, name, self._shard.tell(), entry.size)
            digest = hashlib.sha256()
            while block := file.read(_COPY_BYTES):
                digest.update(block)
                self._shard.write(block)
        if self._shard.tell() != part.offset + entry.size:
            raise OSError(f"{source} changed, or could not be read to its end, while it was copied")
        self._shard.write(bytes(-entry.size % _TAR_BLOCK_BYTES))
        self._shard.flush()
        return part, digest.hexdigest()

    def _finish(self) -> None:
        if self._shard is not None:
            self._shard.write(bytes(2 * _TAR_BLOCK_BYTES))
            self._shard.close()
            self._shard = None


@contextlib.contextmanager
def opened_bytes(source: Path | FilePart) -> Iterator[BinaryIO | PartReader]:
    """A file, or a part of one, to read its bytes; OSError if that fails at any time."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
        return
    with PartReader(source) as part:
        yield part
        if part.error is not None:
            raise OSError(f"{source}: {part.error}") from part.error


def member_names(sources: Sequence[Path | FilePart]) -> list[str]:
    """A name for each: its path below the folder that all share, as it is in the shard that it comes from."""
    paths = [os.path.abspath(str(source)) for source in sources]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [Path(os.path.relpath(path, shared)).as_posix() for path in paths]
