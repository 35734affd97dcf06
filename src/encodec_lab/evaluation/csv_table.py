"""Tables as CSV files that appear whole or not at all."""

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from encodec_lab.data.atomic_file import atomic_file


def write_table(path: str | Path, headings: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Write a line of headings and the lines; None is an empty cell.

    What is not UTF-8 in a file's name is written as escapes.
    """
    with (
        atomic_file(path) as staged,
        open(staged, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(headings)
        writer.writerows(lines)


def write_records(path: str | Path, kind: type, records: Iterable[Any]) -> None:
    """Write objects of one dataclass, with a column for each of its fields."""
    names = [field.name for field in dataclasses.fields(kind)]
    write_table(path, names, [[getattr(record, name) for name in names] for record in records])


def read_table(path: str | Path) -> list[dict[str, str]]:
    """The lines of a table that was written here, by heading."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
