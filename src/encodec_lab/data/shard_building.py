"""Sets of audio packed into a few large tar files, which any file system and object store can take.

They are written to a hidden folder beside the one they are for, `.NAME.part`, with a journal of the files that are in
them. A second run goes on behind the last file that is in there whole, and has not changed since.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from encodec_lab.data.atomic_folder import atomic_folder
from encodec_lab.data.audio_file import AudioFileError, AudioInfo
from encodec_lab.data.journal import opened_journal, source_key
from encodec_lab.data.manifest import list_sources, probe_or_error, report_bad_files
from encodec_lab.data.manifest_building import OnProgress
from encodec_lab.data.manifest_file import INDEX_FILE, Listed, format_entry
from encodec_lab.data.tar_shards import ShardWriter, member_names, shard_path

_JOURNAL_FILE = ".journal"


class ShardSummary(NamedTuple):
    """What was written."""

    num_shards: int
    num_files: int
    duration_s: float


class _Packed(NamedTuple):
    """A line of the journal.

    Attributes:
        key: see `source_key`.
        line: of the index, or what is wrong with the file, which is left out.
        is_bad: whether it is that.
        position: of the writer behind the file.
    """

    key: str
    line: str
    is_bad: bool
    position: Sequence[int]


def write_shards(
    data: str | Path,
    folder: Path,
    shard_bytes: int,
    max_bad_share: float,
    on_progress: OnProgress | None = None,
) -> ShardSummary:
    """Write `shard-00000.tar` and so on, and `index.jsonl`, a manifest of them, to a folder, whole or not at all.

    `data.train=FOLDER` then reads it. The order is that of `data`, so that crops are drawn from the shards as from the
    files. What a manifest says of the files, such as their peaks, is kept. What an earlier run to the same folder has
    packed, before it was stopped or killed, is taken over: the shards are those of a run without a break.

    Args:
        data: see `list_sources`.
        folder: to write; must be missing or empty.
        shard_bytes: when to begin another shard.
        max_bad_share: the share of files, 0 to 1, that may be unusable; they are left out with one BadAudioWarning.
        on_progress: called after each file.

    Raises:
        ValueError: no audio, too many bad files, the place is taken, or another process writes to it. What is packed
            stays for the next run.
        OSError: something cannot be read or written; likewise.
    """
    if shard_bytes < 1:
        raise ValueError(f"a shard must hold a byte or more, got {shard_bytes}")
    listed = list_sources(data)
    sources = [item.source if isinstance(item, AudioInfo) else item for item in listed]
    names = member_names(sources)
    with (
        atomic_folder(folder, resumable=True) as staged,
        opened_journal(staged / _JOURNAL_FILE) as journal,
    ):
        keys = [_key(item, name, shard_bytes) for item, name in zip(listed, names, strict=True)]
        packed = _still_valid(staged, [_Packed(*record) for record in journal.records], listed, keys)
        journal.keep(len(packed))
        start = packed[-1].position if packed else (0, 0)
        with ShardWriter(staged, shard_bytes, (start[0], start[1])) as writer:
            for number in range(len(packed), len(listed)):
                line = _pack(listed[number], names[number], writer)
                is_bad = isinstance(line, AudioFileError)
                packed.append(_Packed(keys[number], str(line), is_bad, writer.position))
                journal.add(packed[-1])
                if on_progress is not None:
                    on_progress(number + 1, len(listed), names[number])
        report_bad_files([one.line for one in packed if one.is_bad], len(listed), max_bad_share, str(data))
        lines = [one.line for one in packed if not one.is_bad]
        (staged / INDEX_FILE).write_text("".join(lines), encoding="ascii")
        _remove_others(staged, writer.num_shards)
    return ShardSummary(writer.num_shards, len(lines), sum(json.loads(line)["duration_s"] for line in lines))


def _pack(item: Listed, name: str, writer: ShardWriter) -> str | AudioFileError:
    """Append a file; gives its line in the index, or what is wrong with it."""
    info = probe_or_error(item)
    if isinstance(info, AudioFileError):
        return info
    part, sha256 = writer.add(info.source, name)
    assert part.num_bytes is not None
    described = dataclasses.replace(info, part=part)
    return format_entry(described, Path(part.container).name, part.num_bytes, sha256)


def _key(item: Listed, name: str, shard_bytes: int) -> str:
    if not isinstance(item, AudioInfo):
        return source_key(item, name, shard_bytes)
    known = (item.sample_rate_hz, item.channels, item.num_samples, item.peak)
    return source_key(item.source, name, shard_bytes, *known)


def _still_valid(
    staged: Path, packed: Sequence[_Packed], listed: Sequence[Listed], keys: Sequence[str]
) -> list[_Packed]:
    """The first of these that are as they would be packed now; a file that was bad then is looked at again."""
    valid: list[_Packed] = []
    for one, item, key in zip(packed, listed, keys, strict=False):
        num_shards, num_bytes = one.position
        shard = shard_path(staged, num_shards - 1)
        if (
            one.key != key
            or (one.is_bad and not isinstance(probe_or_error(item), AudioFileError))
            or (num_shards and not (shard.is_file() and shard.stat().st_size >= num_bytes))
        ):
            break
        valid.append(one)
    return valid


def _remove_others(staged: Path, num_shards: int) -> None:
    """What is in the folder besides so many shards and the index, such as shards of a run with other settings."""
    kept = {INDEX_FILE, *(shard_path(staged, number).name for number in range(num_shards))}
    for path in staged.iterdir():
        if path.name not in kept:
            path.unlink()
