"""Standard input, of which the start tells what it holds, and standard output, which may be closed early."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from encodec_lab.bitstream.byte_source import MAGIC


class StandardInput:
    """Standard input as a binary file that can be read once, from its start, whatever has been looked at."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file
        self._start: bytes | None = None

    def is_compressed(self) -> bool:
        """Whether it holds a stream of ours or the reference's; waits for the first bytes."""
        if self._start is None:
            self._start = self._standard().read(len(MAGIC))
        return self._start == MAGIC

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, `size` at most; fewer only at the end."""
        start = self._start or b""
        if 0 <= size <= len(start):
            self._start = start[size:]
            return start[:size]
        self._start = b""
        return start + self._standard().read(size if size < 0 else size - len(start))

    def _standard(self) -> BinaryIO:
        return self._file or sys.stdin.buffer


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Standard output, flushed at the end; OSError if nobody reads it any more, as after `| head`."""
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()
    except BrokenPipeError:
        # What waits in the buffer must not be tried again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError("standard output was closed before all was written") from None
