"""Files that lie within others, as those in a tar, on a disk or in an object store: read by seeking, never copied."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

# What an object store sends at once; a crop of a second takes less.
_REMOTE_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class FilePart:
    """A span of bytes that is a file in itself.

    Attributes:
        container: path or URL of the file that holds it.
        name: what the span is called in there; empty if it is the whole file.
        offset: of its first byte.
        num_bytes: its length; None if it goes to the end.
    """

    container: str
    name: str
    offset: int
    num_bytes: int | None

    def __str__(self) -> str:
        return f"{self.container}/{self.name}" if self.name else self.container


class PartReader(io.RawIOBase):
    """The bytes of a part, as a binary file.

    A failure to read is kept in `error`, and looks like the end of the file: soundfile calls this from C, where an
    exception would be printed and lost.

    Raises:
        OSError: the container cannot be opened.
        ValueError: it is a URL, and what reads URLs is not installed.
    """

    def __init__(self, part: FilePart) -> None:
        self.name = str(part)
        self.error: Exception | None = None
        self._file = open_binary(part.container)
        self._offset = part.offset
        self._num_bytes = part.num_bytes
        if self._num_bytes is None:
            self._num_bytes = self._file.seek(0, io.SEEK_END) - part.offset
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, counted from the part's first byte, the present position or its end."""
        assert self._num_bytes is not None
        start = (0, self._position, self._num_bytes)[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """The position, counted from the part's first byte."""
        return self._position

    def readinto(self, buffer: object) -> int:
        """Read as many bytes as the buffer and the part hold; gives their number."""
        assert self._num_bytes is not None
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        wanted = max(0, min(len(view), self._num_bytes - self._position))
        num_read = 0
        try:
            self._file.seek(self._offset + self._position)
            while num_read < wanted and (count := self._file.readinto(view[num_read:wanted])):  # type: ignore[attr-defined]
                num_read += count
        except Exception as error:  # whatever the store's own client raises
            self.error = error
        self._position += num_read
        return num_read

    def close(self) -> None:
        """Close the container too."""
        if not self.closed:
            self._file.close()
        super().close()


def is_url(location: object) -> bool:
    """Whether this names something in an object store or on a server, such as `s3://bucket/shard.tar`."""
    return isinstance(location, str) and "://" in location


def open_binary(location: str | Path) -> BinaryIO:
    """Open a path or a URL to read.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is a URL, and fsspec or its driver for this store is not installed.
    """
    if not is_url(location):
        return cast(BinaryIO, open(location, "rb", buffering=0))
    filesystem, path = remote_filesystem(str(location))
    return cast(BinaryIO, filesystem.open(path, "rb", block_size=_REMOTE_BLOCK_BYTES))  # type: ignore[attr-defined]


def remote_filesystem(url: str) -> tuple[object, str]:
    """What fsspec has for this URL: the file system, and the path in it. Raises as `open_binary`."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ValueError(f"{url}: URLs need fsspec; pip install 'encodec-lab[shards]'") from error
    try:
        filesystem, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url}: {' '.join(str(error).split())}") from error
    return filesystem, path
