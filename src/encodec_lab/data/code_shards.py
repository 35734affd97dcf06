"""Codes of whole sets of recordings in a few files that any program can read.

    FOLDER/corpus.json              the codec: an object, see below
    FOLDER/codes-….safetensors      for each recording a tensor [K, L] int16 of codes, under the recording's path
    FOLDER/codes-….jsonl            the index of the shard of the same name: a line for each recording

A line of an index:

    {"path": "a/1.flac", "file": "codes-….safetensors", "model": "lab_24khz", "identity": "0f3c…", "num_codebooks": 8,
     "num_frames": 150, "num_samples": 48000, "segment_frames": null, "scales": null}

- `path`: of the recording, below the folder or manifest that was encoded; unique in the folder, and the tensor's name;
- `identity`: SHA-256 of the codec's tensors, 64 hex digits;
- `num_frames`: L; `num_samples`: T per channel, at the codec's sample rate;
- `segment_frames`: for a codec with segments, the frames of each; their codes lie one after the other in L;
- `scales`: for a codec that normalises segments, what each was divided by.

`corpus.json` holds `format` ("codes"), `version` (1), `model`, `identity`, `config` (all that builds the codec),
`bandwidth_kbps`, `num_codebooks`, `codebook_size`, `frame_rate_hz`, `sample_rate_hz` and `channels`.

A shard is there once its index is, which is written last. Files of which the name begins with a dot are being written.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from encodec_lab.data.atomic_file import atomic_file

CORPUS_FILE = "corpus.json"
CODES_FORMAT = "codes"
FORMAT_VERSION = 1
MAX_CODEBOOK_SIZE = 1 << 15


@dataclass(frozen=True)
class CodeEntry:
    """A line of an index; the fields are those of the module's description, but for `file`."""

    path: str
    model: str
    identity: str
    num_codebooks: int
    num_frames: int
    num_samples: int
    segment_frames: list[int] | None
    scales: list[float] | None


@dataclass(frozen=True)
class CodedRecording:
    """The codes [K, L] int16 of a recording, and what the index says of it."""

    entry: CodeEntry
    codes: NDArray[np.int16]


def write_code_shard(folder: Path, recordings: Sequence[CodedRecording]) -> None:
    """Write a shard and then its index, each whole or not at all. The same recordings always give the same names.

    Raises:
        OSError: they cannot be written.
    """
    described = "\n".join(recording.entry.path for recording in recordings)
    stem = f"codes-{hashlib.sha256(described.encode()).hexdigest()[:16]}"
    shard = folder / f"{stem}.safetensors"
    with atomic_file(shard) as staged:
        # Not safetensors' own save_file, whose files other users cannot read.
        staged.write_bytes(save({recording.entry.path: recording.codes for recording in recordings}))
    with atomic_file(folder / f"{stem}.jsonl") as staged, staged.open("w", encoding="ascii") as file:
        for recording in recordings:
            line = {"path": recording.entry.path, "file": shard.name, **dataclasses.asdict(recording.entry)}
            file.write(json.dumps(line) + "\n")


def read_code_index(folder: Path) -> dict[str, list[CodeEntry]]:
    """What each shard holds, by the name of its file.

    Raises:
        ValueError: a line is no entry of an index, or two entries are of one recording.
        OSError: an index cannot be read.
    """
    shards: dict[str, list[CodeEntry]] = {}
    homes: dict[str, str] = {}
    for index in sorted(folder.glob("codes-*.jsonl")):
        for number, line in enumerate(index.read_text(encoding="ascii").splitlines(), 1):
            try:
                values = json.loads(line)
                file = str(values.pop("file"))
                entry = CodeEntry(**values)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"{index}, line {number}: not a recording's codes ({error!r})") from error
            if entry.path in homes:
                raise ValueError(
                    f"{folder}: {entry.path} is both in {homes[entry.path]} and in {file}, as after two runs at once; "
                    "remove one of the two with its index and encode again"
                )
            homes[entry.path] = file
            shards.setdefault(file, []).append(entry)
    return shards


def read_code_shards(folder: Path, codebook_size: int) -> Iterator[CodedRecording]:
    """The codes of all recordings, shard by shard.

    Raises:
        ValueError: as `read_code_index`, and for a shard that is damaged or is not as its index says.
        OSError: a file cannot be read.
    """
    for file, entries in read_code_index(folder).items():
        path = folder / file
        try:
            with safe_open(path, framework="numpy") as shard:
                for entry in entries:
                    codes = shard.get_tensor(entry.path)
                    _check_codes(codes, entry, codebook_size)
                    yield CodedRecording(entry, codes)
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error


def read_description(folder: str | Path) -> dict[str, Any] | None:
    """What `corpus.json` in a folder says; None if there is none.

    Raises:
        ValueError: it is no such file.
        OSError: it cannot be read.
    """
    path = Path(folder) / CORPUS_FILE
    if not path.is_file():
        return None
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(described, dict):
        raise ValueError(f"{path}: expected an object, got {described!r}")
    if described.get("version") != FORMAT_VERSION:
        raise ValueError(f"{path}: version {described.get('version')!r}, expected {FORMAT_VERSION}")
    return described


def holds_codes(folder: str | Path) -> bool:
    """Whether this is a folder of shards of codes."""
    described = read_description(folder)
    return described is not None and described.get("format") == CODES_FORMAT


def _check_codes(codes: NDArray[Any], entry: CodeEntry, codebook_size: int) -> None:
    expected = (entry.num_codebooks, entry.num_frames)
    if codes.dtype != np.int16 or codes.shape != expected:
        raise ValueError(
            f"{entry.path}: codes of shape {codes.shape}, {codes.dtype}; expected {expected}, int16"
        )
    if codes.size == 0 or codes.min() < 0 or codes.max() >= codebook_size:
        raise ValueError(f"{entry.path}: no codes, or some outside of codebooks of {codebook_size}")
