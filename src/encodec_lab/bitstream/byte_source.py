"""Reading streams, and the five bytes with which every version of the `.ecdc` format starts."""

from typing import Protocol

from encodec_lab.types import EcdcError

MAGIC = b"ECDC"
_CHUNK_BYTES = 1 << 16


class ReadableBytes(Protocol):
    """A file, pipe or socket open for reading; `read` may return less than was asked for, nothing at the end."""

    def read(self, size: int, /) -> bytes | None: ...


class ByteSource:
    """Reads from a file, pipe or socket, and never allocates for more than has really come.

    Attributes:
        offset: bytes read so far.
    """

    def __init__(self, file: ReadableBytes) -> None:
        self._file = file
        self.offset = 0

    def at_most(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end of the stream."""
        content = bytearray()
        while len(content) < size:
            chunk = self._file.read(min(_CHUNK_BYTES, size - len(content)))
            if not chunk:
                break
            content += chunk
        self.offset += len(content)
        return bytes(content)

    def exactly(self, size: int, what: str) -> bytes:
        """The next `size` bytes; EcdcError, which says in `what` the stream ends, if there are fewer."""
        end = self.offset + size
        content = self.at_most(size)
        if len(content) < size:
            raise EcdcError(
                f"the stream ends at byte {self.offset}, within {what}, which goes on to byte {end}"
            )
        return content


def read_version(source: ByteSource) -> int:
    """The version of the `.ecdc` format, the first five bytes; EcdcError if the stream is of another kind."""
    start = source.at_most(len(MAGIC))
    if len(start) == len(MAGIC) and start != MAGIC:
        raise EcdcError(f"not an .ecdc stream: it starts with {start!r} instead of {MAGIC!r}")
    if len(start) < len(MAGIC):
        raise EcdcError(f"the stream ends after {len(start)} bytes, before it has said what it is")
    return source.exactly(1, "the version")[0]


def brief(value: object) -> str:
    """The value for an error message; a hostile header can hold kilobytes."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
