"""Manifests of large sets of audio: found and read in parallel, and gone on with where it was stopped.

What is known of each file is added to a journal beside the manifest, `.NAME.journal`, a line each. A second run takes
from it all files that have not changed since, and the manifest appears, whole, once all are known.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.data.audio_file import AudioFileError, AudioInfo, probe
from encodec_lab.data.file_part import FilePart, is_url
from encodec_lab.data.file_peak import measure_peak
from encodec_lab.data.journal import opened_journal, source_key
from encodec_lab.data.manifest import list_sources, report_bad_files
from encodec_lab.data.manifest_file import format_entry
from encodec_lab.data.tar_shards import opened_bytes

# Called with how many files are done, of how many, and the last.
OnProgress = Callable[[int, int, str], None]

_HASHED_BYTES = 1 << 20
# Futures in memory at a time.
_CHUNK_FILES = 256


class ManifestSummary(NamedTuple):
    """What a manifest holds.

    Attributes:
        num_files: usable ones.
        num_bad: files that were left out.
        duration_s: of all usable ones.
    """

    num_files: int
    num_bad: int
    duration_s: float


def build_manifest(
    data: str | Path,
    output: Path,
    num_workers: int,
    decodes: bool,
    max_bad_share: float,
    on_progress: OnProgress | None = None,
) -> ManifestSummary:
    """Write a `.jsonl` manifest of all audio that `data` names; see `manifest_file.py` for what it says.

    Args:
        data: see `list_sources`.
        output: the manifest. Paths in it are relative to its folder for what lies below that, else absolute.
        num_workers: threads; most of the work is hashing and decoding, which leave Python's lock alone.
        decodes: whether to decode everything, which finds damage within files, and the peaks that mixing needs.
        max_bad_share: the share of files, 0 to 1, that may be unusable; they are left out with one BadAudioWarning.
        on_progress: called after each file.

    Raises:
        ValueError: no audio, too many bad files, or another process writes this manifest. What is known stays in the
            journal.
        OSError: the manifest cannot be written.
    """
    if output.suffix.lower() != ".jsonl":
        raise ValueError(f"{output}: the manifest's name must end in .jsonl")
    if num_workers < 1:
        raise ValueError(f"a manifest needs a worker or more, got {num_workers}")
    sources = [item.source if isinstance(item, AudioInfo) else item for item in list_sources(data)]
    output.parent.mkdir(parents=True, exist_ok=True)
    journal_path = output.with_name(f".{output.name}.journal")
    errors: list[str] = []
    with opened_journal(journal_path) as journal, ThreadPoolExecutor(num_workers) as pool:
        known: dict[str, str] = dict(journal.records)
        keys = list(pool.map(lambda source: source_key(source, decodes), sources))
        missing = [(source, key) for source, key in zip(sources, keys, strict=True) if key not in known]
        num_done = len(sources) - len(missing)
        for source, key, line in _described(missing, pool, output.parent, decodes):
            if isinstance(line, AudioFileError):
                errors.append(str(line))
            else:
                known[key] = line
                journal.add([key, line])
            num_done += 1
            if on_progress is not None:
                on_progress(num_done, len(sources), str(source))
        report_bad_files(errors, len(sources), max_bad_share, str(data))
        lines = [known[key] for key in keys if key in known]
        with atomic_file(output) as staged:
            staged.write_text("".join(lines), encoding="ascii")
        journal_path.unlink()
    return ManifestSummary(len(lines), len(errors), sum(json.loads(line)["duration_s"] for line in lines))


def _described(
    missing: Sequence[tuple[Path | FilePart, str]], pool: ThreadPoolExecutor, folder: Path, decodes: bool
) -> Iterator[tuple[Path | FilePart, str, str | AudioFileError]]:
    for start in range(0, len(missing), _CHUNK_FILES):
        chunk = missing[start : start + _CHUNK_FILES]
        lines = pool.map(lambda pair: _describe(pair[0], folder, decodes), chunk)
        yield from ((source, key, line) for (source, key), line in zip(chunk, lines, strict=True))


def _describe(source: Path | FilePart, folder: Path, decodes: bool) -> str | AudioFileError:
    """The file's line in the manifest, or what is wrong with it."""
    try:
        info = probe(source)
        if decodes:
            info = dataclasses.replace(info, peak=measure_peak(info))
        digest, num_bytes = hashlib.sha256(), 0
        with opened_bytes(source) as file:
            while block := file.read(_HASHED_BYTES):
                digest.update(block)
                num_bytes += len(block)
    except AudioFileError as error:
        return error
    except OSError as error:
        return AudioFileError(f"{source}: {error.strerror or error}")
    return format_entry(info, _named(source, folder), num_bytes, digest.hexdigest())


def _named(source: Path | FilePart, folder: Path) -> str:
    container = source.container if isinstance(source, FilePart) else str(source)
    if is_url(container):
        return container
    path = Path(os.path.abspath(container))
    below = Path(os.path.abspath(folder))
    return path.relative_to(below).as_posix() if path.is_relative_to(below) else path.as_posix()
