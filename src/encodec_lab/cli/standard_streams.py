"""Standard input, of which the start tells what it holds."""

import sys
from typing import BinaryIO

_MAGIC = b"ECDC"


class StandardInput:
    """Standard input as a binary file that can be read once, from its start, whatever has been looked at."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file
        self._start: bytes | None = None

    def is_compressed(self) -> bool:
        """Whether it holds a stream of ours or the reference's; waits for the first bytes."""
        if self._start is None:
            self._start = self._standard().read(len(_MAGIC))
        return self._start == _MAGIC

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
