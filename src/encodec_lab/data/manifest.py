"""From what the user names (folders, manifests, weighted lists) to the audio files of each source."""

import csv
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from encodec_lab.data.audio_file import AudioFileError, AudioInfo, BadAudioWarning, probe
from encodec_lab.data.audio_folder import AUDIO_SUFFIXES, find_below

_MANIFEST_SUFFIXES = (".csv", ".jsonl", ".txt")
_MAX_NAMED_FILES = 20
_PROBE_THREADS = 8


@dataclass(frozen=True)
class Source:
    """The usable files of one folder or manifest, and the relative weight with which crops are drawn from it.

    Attributes:
        kind: of its audio, such as "music", for `Mixing`.
    """

    name: str
    files: tuple[AudioInfo, ...]
    weight: float
    kind: str | None = None

    @property
    def duration_s(self) -> float:
        return sum(info.duration_s for info in self.files)


def load_sources(spec: Any, max_bad_share: float) -> list[Source]:
    """Resolve and probe what `data.train` or `data.valid` names.

    Args:
        spec: a path, a list of paths, or a list of {path, weight, kind}. A path is a folder (searched recursively), a
            manifest (see `list_audio`) or one audio file. Weights are relative to each other; without them each source
            weighs what it lasts, so that every second of audio is as likely as any other. Kinds are words such as
            "music", which `Mixing` tells sources by.
        max_bad_share: the share of a source's files, 0 to 1, that may be unusable. They are left out with one
            BadAudioWarning that names them; more is an error.

    Raises:
        ValueError: missing path, nothing usable, too many bad files, weights that are negative or zero, weights or
            kinds that are incomplete.
    """
    entries = _parse_spec(spec)
    listed = [(entry, list_audio(entry.path)) for entry in entries]
    sources = []
    for entry, files in listed:
        usable = tuple(probe_all(files, max_bad_share, where=str(entry.path)))
        duration_s = sum(info.duration_s for info in usable)
        weight = duration_s if entry.weight is None else entry.weight
        sources.append(Source(str(entry.path), usable, weight, entry.kind))
    return sources


def list_audio(path: str | Path) -> list[Path]:
    """The audio files that a path names, in an order that does not depend on the file system.

    - a folder: see `find_below`;
    - a manifest: `.csv` with a `path` column, `.jsonl` with a `path` field, or `.txt` with one path a line, in the
      order written; paths relative to the manifest's folder;
    - an audio file: itself.

    Raises:
        ValueError: the path is missing, or names no audio.
        OSError: a folder or manifest cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such folder, manifest or audio file")
    if path.is_dir():
        files = find_below(path)
        if not files:
            raise ValueError(f"{path}: no audio in this folder (looked for {', '.join(AUDIO_SUFFIXES)})")
        return files
    suffix = path.suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return [path]
    if suffix not in _MANIFEST_SUFFIXES:
        raise ValueError(
            f"{path}: expected a folder, an audio file or a manifest ({', '.join(_MANIFEST_SUFFIXES)})"
        )
    files = [path.parent / line for line in _read_manifest(path, suffix)]
    if not files:
        raise ValueError(f"{path}: the manifest names no audio")
    return files


def probe_all(files: Sequence[Path], max_bad_share: float, where: str) -> list[AudioInfo]:
    """Probe every file; leave out the bad ones with one BadAudioWarning, raise ValueError when they are too many."""
    if not 0 <= max_bad_share <= 1:
        raise ValueError(f"max_bad_share must be between 0 and 1, got {max_bad_share}")
    with ThreadPoolExecutor(_PROBE_THREADS) as pool:
        results = list(pool.map(_probe_or_error, files))
    usable = [result for result in results if isinstance(result, AudioInfo)]
    errors = [str(result) for result in results if not isinstance(result, AudioInfo)]
    report_bad_files(errors, len(files), max_bad_share, where)
    return usable


def report_bad_files(errors: Sequence[str], num_files: int, max_bad_share: float, where: str) -> None:
    """One BadAudioWarning that names the bad files, or ValueError if more than `max_bad_share` of all files are bad.

    Args:
        errors: one line for each bad file, starting with its path.
        num_files: the number of files, good and bad.
        where: the folder or manifest, for the message.
    """
    if not errors:
        return
    named = "; ".join(errors[:_MAX_NAMED_FILES])
    if len(errors) > _MAX_NAMED_FILES:
        named += f"; and {len(errors) - _MAX_NAMED_FILES} more"
    if len(errors) == num_files:
        raise ValueError(f"{where}: none of its {num_files} audio files can be used: {named}")
    if len(errors) > max_bad_share * num_files:
        raise ValueError(
            f"{where}: {len(errors)} of {num_files} audio files cannot be used, more than the share of "
            f"{max_bad_share:g} that max_bad_share allows: {named}"
        )
    warnings.warn(
        f"{where}: left out {len(errors)} of {num_files} audio files: {named}", BadAudioWarning, stacklevel=2
    )


def _probe_or_error(path: Path) -> AudioInfo | AudioFileError:
    try:
        return probe(path)
    except AudioFileError as error:
        return error


class _Entry(NamedTuple):
    path: Path
    weight: float | None
    kind: str | None


def _parse_spec(spec: Any) -> list[_Entry]:
    expected = "expected a path, a list of paths, or a list of {path, weight, kind}"
    if isinstance(spec, str | os.PathLike | Mapping):
        spec = [spec]
    if not isinstance(spec, Iterable):
        raise ValueError(f"audio sources: {expected}, got {spec!r}")
    entries: list[_Entry] = []
    for entry in spec:
        if isinstance(entry, str | os.PathLike):
            entries.append(_Entry(Path(entry), None, None))
        elif isinstance(entry, Mapping) and "path" in entry and set(entry) <= {"path", "weight", "kind"}:
            entries.append(_Entry(Path(entry["path"]), _parse_weight(entry), _parse_kind(entry)))
        else:
            raise ValueError(f"audio sources: {expected}, got the entry {entry!r}")
    if not entries:
        raise ValueError(f"audio sources: {expected}, got an empty list")
    num_weighted = sum(entry.weight is not None for entry in entries)
    if num_weighted not in (0, len(entries)):
        raise ValueError(
            f"audio sources: {num_weighted} of {len(entries)} have a weight; give all of them one, or none "
            "(then each weighs what it lasts)"
        )
    num_of_kind = sum(entry.kind is not None for entry in entries)
    if num_of_kind not in (0, len(entries)):
        raise ValueError(
            f"audio sources: {num_of_kind} of {len(entries)} have a kind; give all of them one, or none "
            "(then all are mixed with all)"
        )
    return entries


def _parse_kind(entry: Mapping[str, Any]) -> str | None:
    kind = entry.get("kind")
    if kind is not None and not (isinstance(kind, str) and kind):
        raise ValueError(f"{entry['path']}: the kind must be a word such as music, got {kind!r}")
    return kind


def _parse_weight(entry: Mapping[str, Any]) -> float | None:
    weight = entry.get("weight")
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf"):
        raise ValueError(f"{entry['path']}: the weight must be a number above 0, got {weight!r}")
    return float(weight)


def _read_manifest(path: Path, suffix: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 ({error.reason})") from error
    if suffix == ".txt":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if suffix == ".csv":
        return _paths_of_table(path, text)
    return [
        _path_of_json_line(path, number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
    ]


def _paths_of_table(manifest: Path, text: str) -> list[str]:
    reader = csv.DictReader(text.splitlines())
    try:
        if "path" not in (reader.fieldnames or []):
            raise ValueError(f"{manifest}: expected a 'path' column, got the columns {reader.fieldnames}")
        return [row["path"].strip() for row in reader if (row["path"] or "").strip()]
    except csv.Error as error:
        raise ValueError(f"{manifest}, line {reader.reader.line_num}: not CSV ({error})") from error


def _path_of_json_line(manifest: Path, number: int, line: str) -> str:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{manifest}, line {number}: not JSON ({error.msg})") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise ValueError(
            f"{manifest}, line {number}: expected an object with a 'path', got {line.strip()[:80]!r}"
        )
    return str(entry["path"])
