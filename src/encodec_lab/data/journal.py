"""What long work has done so far, a line each, so that the same work goes on from there after it was killed."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from encodec_lab.data.file_part import FilePart, is_url


class Journal:
    """Records that JSON can hold, in a file that lines are only ever added to.

    Attributes:
        records: those that were there at first; what a process wrote of a line before it was killed is cut off.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.records: list[Any] = []
        self._file = file
        self._ends = [0]
        file.seek(0)
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            self.records.append(record)
            self._ends.append(self._ends[-1] + len(line))
        self.keep(len(self.records))

    def add(self, record: Any) -> None:
        """Add a line, which stays whatever ends the process from here on."""
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def keep(self, num_records: int) -> None:
        """Forget all but the first of the records that were there at first; before anything is added."""
        del self.records[num_records:]
        self._file.truncate(self._ends[num_records])


@contextmanager
def opened_journal(path: Path) -> Iterator[Journal]:
    """The journal at this path, which is made if it is missing; the caller removes it in the end.

    Raises:
        ValueError: another process is at the same work.
    """
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{path}: another run is writing here; wait for it or stop it") from error
        yield Journal(file)


def source_key(source: Path | FilePart, *settings: object) -> str:
    """What a file is recognised by: another of the same name has been changed at another time, or is not as long.

    `settings` are what else the work on it depends on, as JSON can hold it.
    """
    container = source.container if isinstance(source, FilePart) else str(source)
    described: list[object] = [str(source), *settings]
    if isinstance(source, FilePart):
        described += [source.offset, source.num_bytes]
    if not is_url(container) and os.path.exists(container):
        status = os.stat(container)
        described += [status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()
