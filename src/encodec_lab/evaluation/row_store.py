"""Rows kept from one run to the next: a JSONL file that lines are only ever added to."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.evaluation.evaluation_rows import EvaluationRow

_FIELDS = frozenset(field.name for field in dataclasses.fields(EvaluationRow))


class RowStore:
    """Rows by a key that tells all that their scores depend on.

    A run that was killed leaves at most its last line cut; such a line is as if it had not been written. Rows of one
    key are merged, so that a metric can be added later. Several processes may add to one file at once.
    """

    def __init__(self, path: str | Path | None) -> None:
        """Read the rows of a file that need not exist yet; None keeps rows in memory only."""
        self._path = None if path is None else Path(path)
        self._rows: dict[str, EvaluationRow] = {}
        text = self._path.read_bytes() if self._path is not None and self._path.exists() else b""
        self._cut = bool(text) and not text.endswith(b"\n")
        for line in text.splitlines():
            if (keyed := _parse(line)) is not None:
                self._merge(*keyed)

    def __getitem__(self, key: str) -> EvaluationRow:
        """The row of a key that is there."""
        return self._rows[key]

    def missing(self, key: str, metrics: Iterable[str]) -> tuple[str, ...]:
        """Those of these metrics that the row of a key has no score for, nor a reason for having none."""
        row = self._rows.get(key)
        return tuple(
            name for name in metrics if row is None or (name not in row.scores and name not in row.not_scored)
        )

    def add(self, key: str, row: EvaluationRow) -> None:
        """Keep a row, in the file before this returns."""
        self._merge(key, row)
        if self._path is None:
            return
        line = (b"\n" if self._cut else b"") + _line({"key": key, **dataclasses.asdict(row)})
        self._cut = False
        # One write to the end of the file, so that lines of several processes do not mix.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            written = os.write(file, line)
        finally:
            os.close(file)
        if written != len(line):
            raise OSError(f"{self._path}: cannot be written to the end; is the disk full?")

    def _merge(self, key: str, row: EvaluationRow) -> None:
        if (known := self._rows.get(key)) is not None:
            row = dataclasses.replace(
                row,
                scores={**known.scores, **row.scores},
                not_scored={**known.not_scored, **row.not_scored},
            )
        self._rows[key] = row


def write_jsonl(path: str | Path, rows: Iterable[EvaluationRow]) -> None:
    """Write the rows, an object a line, whole or not at all."""
    with atomic_file(path) as staged:
        staged.write_bytes(b"".join(_line(dataclasses.asdict(row)) for row in rows))


def read_jsonl(path: str | Path) -> list[EvaluationRow]:
    """The rows that `write_jsonl` wrote.

    Raises:
        ValueError: a line is no row.
    """
    rows = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        try:
            rows.append(EvaluationRow(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a row of an evaluation ({error})") from error
    return rows


def _line(values: dict[str, object]) -> bytes:
    # In ASCII, since the name of a file need not be UTF-8.
    return json.dumps(values).encode("ascii") + b"\n"


def _parse(line: bytes) -> tuple[str, EvaluationRow] | None:
    """The key and the row of a line; None for one that is cut, or was written by another version."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict) or set(values) != _FIELDS | {"key"}:
        return None
    return values.pop("key"), EvaluationRow(**values)
