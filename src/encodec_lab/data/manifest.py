"""From what the user names (folders, manifests, weighted lists) to the audio files of each source."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from encodec_lab.data.audio_file import AudioFileError, AudioInfo, BadAudioWarning, probe
from encodec_lab.data.audio_folder import AUDIO_SUFFIXES, find_below
from encodec_lab.data.audio_table import AudioTable
from encodec_lab.data.file_part import FilePart, is_url
from encodec_lab.data.manifest_file import INDEX_FILE, MANIFEST_SUFFIXES, Listed, located, read_manifest
from encodec_lab.data.tar_shards import SHARD_SUFFIX, audio_members

_MAX_NAMED_FILES = 20
_PROBE_THREADS = 8


@dataclass(frozen=True)
class Source:
    """The usable files of one folder or manifest, and the relative weight with which crops are drawn from it.

    Attributes:
        kind: of its audio, such as "music", for `Mixing`.
    """

    name: str
    files: AudioTable
    weight: float
    kind: str | None = None

    @property
    def duration_s(self) -> float:
        return float(self.files.durations_s.sum())


class SourceEntry(NamedTuple):
    """What `data.train` or `data.valid` says of one source; None for what it leaves open."""

    path: str | Path
    weight: float | None
    kind: str | None


def load_sources(spec: Any, max_bad_share: float) -> list[Source]:
    """Resolve and probe what `data.train` or `data.valid` names.

    Args:
        spec: a path, a list of paths, or a list of {path, weight, kind}. For paths see `list_sources`. Weights are
            relative to each other; without them each source weighs what it lasts, so that every second of audio is as
            likely as any other. Kinds are words such as "music", which `Mixing` tells sources by.
        max_bad_share: the share of a source's files, 0 to 1, that may be unusable. They are left out with one
            BadAudioWarning that names them; more is an error.

    Raises:
        ValueError: missing path, nothing usable, too many bad files, weights that are negative or zero, weights or
            kinds that are incomplete.
    """
    return load_entries(parse_spec(spec), max_bad_share)


def load_entries(entries: Sequence[SourceEntry], max_bad_share: float) -> list[Source]:
    """As `load_sources`, of what `parse_spec` gave."""
    listed = [(entry, list_sources(entry.path)) for entry in entries]
    sources = []
    for entry, files in listed:
        usable = AudioTable(probe_all(files, max_bad_share, where=str(entry.path)))
        weight = float(usable.durations_s.sum()) if entry.weight is None else entry.weight
        sources.append(Source(str(entry.path), usable, weight, entry.kind))
    return sources


def list_audio(path: str | Path) -> list[Path]:
    """The audio files that a path names; as `list_sources`, for what needs files of their own.

    Raises:
        ValueError: as `list_sources`, and for audio in shards or behind URLs.
    """
    listed = list_sources(path)
    infos = [item for item in listed if isinstance(item, AudioInfo)]
    parts = [item for item in listed if isinstance(item, FilePart)]
    parts += [info.part for info in infos if info.part is not None]
    if parts:
        raise ValueError(f"{path}: names audio in shards or behind URLs ({parts[0]}), expected files")
    return [item.path if isinstance(item, AudioInfo) else Path(str(item)) for item in listed]


def list_sources(location: str | Path) -> list[Listed]:
    """The audio that a path or URL names, in an order that does not depend on the file system.

    - a folder: see `find_below`; one without audio files: what its `index.jsonl` lists, else what is in the
      uncompressed tar files below it;
    - an uncompressed tar file: the audio in it;
    - a manifest: see `manifest_file.py`;
    - an audio file: itself.

    Raises:
        ValueError: the path is missing, or names no audio.
        OSError: a folder or manifest cannot be read.
    """
    suffix = Path(location).suffix.lower()
    if not is_url(location):
        location = Path(location)
        if not location.exists():
            raise ValueError(f"{location}: no such folder, manifest or audio file")
        if location.is_dir():
            return _list_folder(location)
    if suffix in AUDIO_SUFFIXES:
        return [located(location)]
    if suffix == SHARD_SUFFIX:
        listed: list[Listed] = list(audio_members(location))
        if not listed:
            raise ValueError(f"{location}: no audio in this tar (looked for {', '.join(AUDIO_SUFFIXES)})")
        return listed
    if suffix not in MANIFEST_SUFFIXES:
        raise ValueError(
            f"{location}: expected a folder, an audio file, a tar or a manifest ({', '.join(MANIFEST_SUFFIXES)})"
        )
    return read_manifest(location)


def _list_folder(folder: Path) -> list[Listed]:
    listed: list[Listed] = list(find_below(folder))
    if not listed and (folder / INDEX_FILE).is_file():
        return read_manifest(folder / INDEX_FILE)
    # Tars beside audio files are taken for the archives that these came in.
    if not listed:
        listed = [part for tar in find_below(folder, [SHARD_SUFFIX]) for part in audio_members(tar)]
    if not listed:
        raise ValueError(
            f"{folder}: no audio in this folder (looked for {', '.join(AUDIO_SUFFIXES)} and .tar)"
        )
    return listed


def probe_all(files: Sequence[Listed], max_bad_share: float, where: str) -> list[AudioInfo]:
    """Probe every file; leave out the bad ones with one BadAudioWarning, raise ValueError when they are too many.

    Those that a manifest describes are taken at its word.
    """
    if not 0 <= max_bad_share <= 1:
        raise ValueError(f"max_bad_share must be between 0 and 1, got {max_bad_share}")
    unknown = [item for item in files if not isinstance(item, AudioInfo)]
    with ThreadPoolExecutor(_PROBE_THREADS) as pool:
        probed = pool.map(probe_or_error, unknown)
        results = [item if isinstance(item, AudioInfo) else next(probed) for item in files]
    usable = [result for result in results if isinstance(result, AudioInfo)]
    errors = [str(result) for result in results if not isinstance(result, AudioInfo)]
    report_bad_files(errors, len(files), max_bad_share, where)
    return usable


def probe_or_error(item: Listed) -> AudioInfo | AudioFileError:
    """What a file's header says, unless a manifest has said it before, or what is wrong with the file."""
    if isinstance(item, AudioInfo):
        return item
    try:
        return probe(item)
    except AudioFileError as error:
        return error


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


def parse_spec(spec: Any) -> list[SourceEntry]:
    """The sources that a specification for `load_sources` names, not looked for yet; ValueError for a bad one."""
    expected = "expected a path, a list of paths, or a list of {path, weight, kind}"
    if isinstance(spec, str | os.PathLike | Mapping):
        spec = [spec]
    if not isinstance(spec, Iterable):
        raise ValueError(f"audio sources: {expected}, got {spec!r}")
    entries: list[SourceEntry] = []
    for entry in spec:
        if isinstance(entry, str | os.PathLike):
            entries.append(SourceEntry(_location(entry), None, None))
        elif isinstance(entry, Mapping) and "path" in entry and set(entry) <= {"path", "weight", "kind"}:
            entries.append(SourceEntry(_location(entry["path"]), _parse_weight(entry), _parse_kind(entry)))
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


def _location(path: str | os.PathLike[str]) -> str | Path:
    return path if isinstance(path, str) and is_url(path) else Path(path)


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
