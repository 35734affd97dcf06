"""Sets of audio packed into a few large tar files, which any file system and object store can take."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from encodec_lab.data.atomic_folder import atomic_folder
from encodec_lab.data.audio_file import AudioFileError, AudioInfo
from encodec_lab.data.manifest import list_sources, probe_or_error, report_bad_files
from encodec_lab.data.manifest_building import OnProgress
from encodec_lab.data.manifest_file import INDEX_FILE, format_entry
from encodec_lab.data.tar_shards import ShardWriter, member_names


class ShardSummary(NamedTuple):
    """What was written."""

    num_shards: int
    num_files: int
    duration_s: float


def write_shards(
    data: str | Path,
    folder: Path,
    shard_bytes: int,
    max_bad_share: float,
    on_progress: OnProgress | None = None,
) -> ShardSummary:
    """Write `shard-00000.tar` and so on, and `index.jsonl`, a manifest of them, to a folder, whole or not at all.

    `data.train=FOLDER` then reads it. The order is that of `data`, so that crops are drawn from the shards as from the
    files. What a manifest says of the files, such as their peaks, is kept.

    Args:
        data: see `list_sources`.
        folder: to write; must be missing or empty.
        shard_bytes: when to begin another shard.
        max_bad_share: the share of files, 0 to 1, that may be unusable; they are left out with one BadAudioWarning.
        on_progress: called after each file.

    Raises:
        ValueError: no audio, too many bad files, or the place is taken.
        OSError: something cannot be read or written.
    """
    listed = list_sources(data)
    sources = [item.source if isinstance(item, AudioInfo) else item for item in listed]
    errors: list[str] = []
    duration_s = 0.0
    with atomic_folder(folder) as staged:
        with (
            ShardWriter(staged, shard_bytes) as writer,
            (staged / INDEX_FILE).open("w", encoding="ascii") as index,
        ):
            for number, (item, name) in enumerate(zip(listed, member_names(sources), strict=True), 1):
                info = probe_or_error(item)
                if isinstance(info, AudioFileError):
                    errors.append(str(info))
                    continue
                part, sha256 = writer.add(info.source, name)
                assert part.num_bytes is not None
                described = dataclasses.replace(info, part=part)
                index.write(format_entry(described, Path(part.container).name, part.num_bytes, sha256))
                duration_s += info.duration_s
                if on_progress is not None:
                    on_progress(number, len(listed), name)
        report_bad_files(errors, len(listed), max_bad_share, str(data))
    return ShardSummary(writer.num_shards, len(listed) - len(errors), duration_s)
