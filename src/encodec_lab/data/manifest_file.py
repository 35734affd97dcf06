"""Manifests: files that list audio.

- `.txt`: one path a line;
- `.csv`: a `path` column;
- `.jsonl`: an object a line with a `path`, and what else is known (units as in the names):

    {"path": "a/1.flac", "sample_rate_hz": 24000, "channels": 1, "num_samples": 48000, "duration_s": 2.0,
     "peak": 0.5, "num_bytes": 61234, "sha256": "…"}
    {"path": "shard-00000.tar", "member": "a/1.flac", "offset": 512, "num_bytes": 61234, …}

  An entry with rate, channels and number of samples is not opened before it is trained on. `member`, `offset` (of the
  first byte) and `num_bytes` tell a file within an uncompressed tar.

Paths are relative to the manifest's folder, absolute, or URLs. Other columns and fields are ignored.
"""

import csv
import json
import math
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encodec_lab.data.audio_file import AudioInfo, check_info
from encodec_lab.data.file_part import FilePart, is_url, open_binary

MANIFEST_SUFFIXES = (".csv", ".jsonl", ".txt")
# The manifest of a folder of shards, within it.
INDEX_FILE = "index.jsonl"

# A file of which nothing is known but its place, or one that a manifest describes.
Listed = Path | FilePart | AudioInfo


def read_manifest(location: str | Path) -> list[Listed]:
    """What a manifest lists, in its order.

    Raises:
        ValueError: it is no manifest of these, or lists nothing.
        OSError: it cannot be read.
    """
    suffix = Path(location).suffix.lower()
    assert suffix in MANIFEST_SUFFIXES
    with open_binary(location) as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{location}: not a text file in UTF-8 ({error.reason})") from error
    if suffix == ".jsonl":
        listed = list(_described(location, text))
    else:
        paths = text.splitlines() if suffix == ".txt" else _paths_of_table(location, text)
        folder = _folder(location)
        listed = [located(_joined(folder, path.strip())) for path in paths if path.strip()]
    if not listed:
        raise ValueError(f"{location}: the manifest names no audio")
    return listed


def located(location: str | Path) -> Path | FilePart:
    """A path as it is, a URL as the part that it is: all of what is there."""
    return FilePart(str(location), "", 0, None) if is_url(location) else Path(location)


def format_entry(info: AudioInfo, path: str, num_bytes: int, sha256: str) -> str:
    """A line of a `.jsonl` manifest.

    Args:
        info: of the audio.
        path: what to call its file, or the file that it lies in.
        num_bytes: of the audio file.
        sha256: of these bytes.
    """
    entry: dict[str, Any] = {"path": path}
    if info.part is not None and info.part.name:
        entry |= {"member": info.part.name, "offset": info.part.offset}
    entry |= {
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "num_samples": info.num_samples,
        "duration_s": round(info.duration_s, 6),
        "num_bytes": num_bytes,
        "sha256": sha256,
    }
    if info.peak is not None:
        entry["peak"] = info.peak
    return json.dumps(entry) + "\n"


def _paths_of_table(manifest: str | Path, text: str) -> list[str]:
    reader = csv.DictReader(text.splitlines())
    try:
        if "path" not in (reader.fieldnames or []):
            raise ValueError(f"{manifest}: expected a 'path' column, got the columns {reader.fieldnames}")
        return [row["path"] or "" for row in reader]
    except csv.Error as error:
        raise ValueError(f"{manifest}, line {reader.reader.line_num}: not CSV ({error})") from error


def _described(manifest: str | Path, text: str) -> Iterator[Listed]:
    folder = _folder(manifest)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{manifest}, line {number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: not JSON ({error.msg})") from error
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise ValueError(f"{where}: expected an object with a 'path', got {line.strip()[:80]!r}")
        yield _parse_entry(_joined(folder, entry["path"]), entry, where)


def _parse_entry(location: str, entry: dict[str, Any], where: str) -> Listed:
    place = located(location)
    if "member" in entry:
        offset, num_bytes = (_whole_number(entry, name, where) for name in ("offset", "num_bytes"))
        place = FilePart(location, str(entry["member"]), offset, num_bytes)
    if not all(name in entry for name in ("sample_rate_hz", "channels", "num_samples")):
        return place
    peak = entry.get("peak")
    if peak is not None and not (isinstance(peak, int | float) and 0 <= peak < math.inf):
        raise ValueError(f"{where}: the peak must be a number from 0, got {peak!r}")
    info = AudioInfo(
        place if isinstance(place, Path) else Path(str(place)),
        _whole_number(entry, "sample_rate_hz", where),
        _whole_number(entry, "channels", where),
        _whole_number(entry, "num_samples", where),
        peak,
        place if isinstance(place, FilePart) else None,
    )
    try:
        check_info(info)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return info


def _whole_number(entry: dict[str, Any], name: str, where: str) -> int:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{where}: {name} must be a whole number from 0, got {value!r}")
    return value


def _folder(manifest: str | Path) -> str:
    return (
        posixpath.dirname(manifest)
        if isinstance(manifest, str) and is_url(manifest)
        else str(Path(manifest).parent)
    )


def _joined(folder: str, path: str) -> str:
    """A path in a manifest as one that can be opened. By text: for a million files pathlib takes a minute."""
    if is_url(path):
        return path
    return posixpath.join(folder, path) if is_url(folder) else os.path.join(folder, path)
