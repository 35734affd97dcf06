"""The codes of recordings, extracted once by a frozen codec and kept on disk.

    CACHE/IDENTITY/FILE.npy     codes [K, L] int16 of one recording, at the codec's highest bandwidth

IDENTITY is a hash of the codec's tensors and of what else shapes its codes, FILE one of the recording's path, size and
time of last change. So another codec or another recording never finds these codes, and an extraction that was stopped
goes on where it was: every file appears whole or not at all.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encodec_lab.bitstream.stream_writer import encode_recording
from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.data.audio_blocks import AudioBlocks
from encodec_lab.data.audio_file import AudioFileError
from encodec_lab.data.file_part import FilePart, is_url
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import module_identity
from encodec_lab.models.registry import load_model

_BLOCK_S = 10.0
_worker_codec: EncodecModel


def codes_folder(cache: Path, codec: EncodecModel) -> Path:
    """Where the cache keeps the codes of this codec."""
    config = codec.config.to_dict()
    config.pop("name")
    described = json.dumps([module_identity(codec), config], sort_keys=True)
    return cache / hashlib.sha256(described.encode()).hexdigest()[:32]


def cached_file(folder: Path, recording: Path | FilePart) -> Path:
    """Where the codes of a recording are kept; OSError if there is no such recording."""
    described: list[object] = []
    file: str | Path
    if isinstance(recording, FilePart):
        described = [recording.name, recording.offset, recording.num_bytes]
        file = recording.container if is_url(recording.container) else Path(recording.container)
    else:
        file = recording
    if isinstance(file, Path):
        status = file.stat()
        described = [str(file.resolve()), status.st_size, status.st_mtime_ns, *described]
    else:
        described = [file, *described]  # a store says no more of its files than their place
    return folder / f"{hashlib.sha256(json.dumps(described).encode()).hexdigest()[:32]}.npy"


def extract_missing(
    recordings: Sequence[Path | FilePart],
    codec: EncodecModel,
    codec_source: str,
    folder: Path,
    num_workers: int,
) -> Iterator[tuple[Path | FilePart, AudioFileError | None]]:
    """Extract the codes of all recordings that the folder lacks; yields each with what is wrong with it, if anything.

    Args:
        recordings: audio files, or where they lie in shards.
        codec: frozen, on the device that is to encode.
        codec_source: what `load_model` made the codec from, for the workers.
        folder: of `codes_folder`.
        num_workers: processes that encode, on one thread each; 0 or 1 encodes in this one.

    Raises:
        ValueError: a worker could not go on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [path for path in recordings if not cached_file(folder, path).exists()]
    if num_workers <= 1 or len(missing) <= 1:
        for path in missing:
            yield path, _extract(codec, path, folder)
        return
    try:
        with ProcessPoolExecutor(
            min(num_workers, len(missing)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_load_worker_codec,
            initargs=(codec_source, str(codec.device), folder),
        ) as pool:
            results = pool.map(_extract_in_worker, missing, [folder] * len(missing))
            yield from zip(missing, results, strict=True)
    except BrokenProcessPool as error:
        raise ValueError(
            f"a worker process stopped while extracting codes ({error}); what is done is kept, so start again,"
            " perhaps with a smaller data.num_workers"
        ) from error


def read_codes(folder: Path, recording: Path | FilePart) -> NDArray[np.int16]:
    """The codes [K, L] of a recording that has been extracted."""
    codes: NDArray[np.int16] = np.load(cached_file(folder, recording), allow_pickle=False)
    return codes


@torch.no_grad()
def recording_codes(codec: EncodecModel, path: Path | FilePart) -> NDArray[np.int16]:
    """Codes [K, L] of a whole recording at the highest bandwidth; segments' codes one after the other.

    Neighbouring segments overlap slightly, and so do the frames at their borders.

    Raises:
        AudioFileError: the file cannot be read.
    """
    blocks = AudioBlocks(path, codec.sample_rate, codec.channels, _BLOCK_S)
    with codec.at_bandwidth(codec.target_bandwidths[-1]):
        codes = [frame.codes[0].to("cpu", torch.int16) for frame in encode_recording(codec, blocks)]
    return torch.cat(codes, dim=-1).numpy()


def _extract(codec: EncodecModel, path: Path | FilePart, folder: Path) -> AudioFileError | None:
    try:
        codes = recording_codes(codec, path)
    except AudioFileError as error:
        return error
    with atomic_file(cached_file(folder, path)) as staged, staged.open("wb") as file:
        np.save(file, codes)
    return None


def _load_worker_codec(source: str, device: str, folder: Path) -> None:
    global _worker_codec
    torch.set_num_threads(1)
    _worker_codec = load_model(source).to(device)
    assert codes_folder(folder.parent, _worker_codec) == folder, "the codec changed meanwhile"


def _extract_in_worker(path: Path | FilePart, folder: Path) -> AudioFileError | None:
    return _extract(_worker_codec, path, folder)
