"""Reading and writing audio files with soundfile: never more of a file than is asked for."""

import contextlib
import dataclasses
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.data.file_part import FilePart, PartReader

MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000
MAX_CHANNELS = 2

_READ_BLOCK_SAMPLES = 1 << 20
_MAX_WAV_BYTES = (1 << 32) - 4096  # its sizes are 32-bit numbers
# libsndfile gives the largest 64-bit integer for a length that it cannot know; no real file comes near 2^40.
_MAX_PLAUSIBLE_SAMPLES = 1 << 40


# A path, a part of a file, or a binary file that can be rewound; it is read from its start.
AudioSource = str | Path | FilePart | BinaryIO


class AudioFileError(ValueError):
    """An audio file that cannot be used; the message is one line with the path and what is wrong."""


class BadAudioWarning(UserWarning):
    """Audio files that were left out, by name."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        path: of the file; of one in a tar or an object store, what messages call it.
        peak: largest magnitude of its samples, where a manifest says so.
        part: where it lies in a tar or an object store.
    """

    path: Path
    sample_rate_hz: int
    channels: int
    num_samples: int
    peak: float | None = None
    part: FilePart | None = None

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.sample_rate_hz

    @property
    def source(self) -> "Path | FilePart":
        """What to read it from."""
        return self.path if self.part is None else self.part


def probe(source: AudioSource) -> AudioInfo:
    """Read and check the header.

    Raises:
        AudioFileError: missing, unreadable or empty file, a sample rate outside 8 to 192 kHz, more than two channels.
    """
    with _opened(source) as file:
        info = _checked_info(_path(source), file)
    return dataclasses.replace(info, part=source) if isinstance(source, FilePart) else info


def check_info(info: AudioInfo) -> None:
    """Raise ValueError unless audio of this kind can be used: 8 to 192 kHz, one or two channels, a known length."""
    if not MIN_SAMPLE_RATE_HZ <= info.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise ValueError(
            f"sample rate {info.sample_rate_hz} Hz; {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz can be used"
        )
    if not 1 <= info.channels <= MAX_CHANNELS:
        raise ValueError(f"{info.channels} channels; mono or stereo can be used, mix it down first")
    if info.num_samples == 0:
        raise ValueError("holds no samples (zero length)")
    if not 0 < info.num_samples < _MAX_PLAUSIBLE_SAMPLES:
        raise ValueError("its length is unknown (truncated or damaged file)")


def read_crop(source: AudioSource, offset: int, num_samples: int) -> Tensor:
    """Samples `offset` to `offset + num_samples` at the file's own rate, by seeking: [C, num_samples] float32.

    A crop that passes the end of the file is cut there, so it can be shorter (or [C, 0]).

    Raises:
        AudioFileError: as `probe`; also if the file ends before its header says, or the crop holds NaN or infinity.
    """
    if offset < 0 or num_samples < 0:
        raise ValueError(f"a crop needs offset >= 0 and num_samples >= 0, got {offset} and {num_samples}")
    path = _path(source)
    with _opened(source) as file:
        info = _checked_info(path, file)
        num_wanted = max(0, min(num_samples, info.num_samples - offset))
        if num_wanted == 0:
            return torch.zeros(info.channels, 0)
        if offset:
            file.seek(offset)
        return _read_samples(path, file, offset, num_wanted)


def read_whole(source: AudioSource) -> tuple[Tensor, int]:
    """The whole file and its sample rate in Hz: ([C, T] float32, rate). Raises as `read_crop`."""
    # In blocks: a damaged header that claims terabytes must not allocate them.
    wav = torch.cat(list(read_in_order(source, _READ_BLOCK_SAMPLES)), dim=-1)
    return wav, probe(source).sample_rate_hz


def read_in_order(source: AudioSource, block_samples: int) -> Iterator[Tensor]:
    """The whole file from its start, at its own rate: blocks [C, block_samples] float32, the last one shorter.

    Raises:
        AudioFileError: as `read_crop`, once the reading has come to the fault.
    """
    path = _path(source)
    with _opened(source) as file:
        info = _checked_info(path, file)
        for offset in range(0, info.num_samples, block_samples):
            num_wanted = min(block_samples, info.num_samples - offset)
            yield _read_samples(path, file, offset, num_wanted)


def write_wav(path: str | Path, wav: Tensor, sample_rate_hz: int) -> None:
    """Write [C, T] as 16-bit PCM WAV, whole or not at all; samples beyond ±1 are clipped.

    Raises:
        ValueError: not one or two channels, or NaN or infinity among the samples.
        OSError: the folder is missing or cannot be written, or the disk is full.
    """
    write_wav_pieces(path, [wav], sample_rate_hz)


def write_wav_pieces(path: str | Path, pieces: Iterable[Tensor], sample_rate_hz: int) -> None:
    """As `write_wav`, from pieces [C, T] that are written as they come, at least one.

    Raises:
        ValueError: also for no piece, and for more audio than a WAV file holds (4 GiB).
    """
    path = Path(path)
    num_bytes = 0
    writer: soundfile.SoundFile | None = None
    with atomic_file(path) as staged:
        # libsndfile reports a missing folder, or one that cannot be written, only as "System error".
        staged.touch()
        try:
            for piece in pieces:
                samples = _checked_samples(path, piece)
                num_bytes += 2 * samples.size
                if num_bytes > _MAX_WAV_BYTES:
                    raise ValueError(f"{path}: not written, because a WAV file holds no more than 4 GiB")
                with _explained_write_errors(path):
                    if writer is None:
                        # Not an open file: errors in Python's file would have to pass through libsndfile's C.
                        writer = soundfile.SoundFile(
                            staged, "w", sample_rate_hz, samples.shape[1], format="WAV", subtype="PCM_16"
                        )
                    writer.write(samples)
        finally:
            if writer is not None:
                with _explained_write_errors(path):
                    writer.close()
        if writer is None:
            raise ValueError(f"{path}: not written, because there is no audio")


@contextmanager
def _explained_write_errors(path: Path) -> Iterator[None]:
    """Turn what soundfile raises when a file takes no more into an OSError that names it."""
    try:
        yield
    except (soundfile.SoundFileError, AssertionError) as error:  # it asserts that all samples were written
        raise OSError(errno.EIO, "cannot be written to the end; is the disk full?", str(path)) from error


def _checked_samples(path: Path, wav: Tensor) -> NDArray[np.float32]:
    """Samples [T, C] to be written."""
    if wav.dim() != 2 or not 1 <= wav.shape[0] <= MAX_CHANNELS:
        raise ValueError(f"{path}: expected [C, T] with one or two channels, got shape {list(wav.shape)}")
    if not torch.isfinite(wav).all():
        raise ValueError(f"{path}: not written, because the audio holds NaN or infinite samples")
    samples: NDArray[np.float32] = wav.detach().to("cpu", torch.float32).clamp(-1, 1).T.contiguous().numpy()
    return samples


def _path(source: AudioSource) -> Path:
    """What messages call the source."""
    if isinstance(source, str | Path | FilePart):
        return Path(str(source))
    return Path(str(getattr(source, "name", "open file")))


@contextmanager
def _opened(source: AudioSource) -> Iterator[soundfile.SoundFile]:
    """An open file; whatever libsndfile refuses, on opening or later, becomes an AudioFileError."""
    path = _path(source)
    part: PartReader | None = None
    if not isinstance(source, str | Path | FilePart):
        if not source.seekable():
            raise AudioFileError(f"{path}: cannot be rewound (a pipe?); copy it to a file first")
        source.seek(0)
    try:
        with contextlib.ExitStack() as opened:
            if isinstance(source, FilePart):
                part = opened.enter_context(PartReader(source))
            yield opened.enter_context(soundfile.SoundFile(part or source))
            if part is not None and part.error is not None:
                raise part.error
    # TypeError: soundfile asks for the layout of headerless files (.raw).
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        cause = error if part is None or part.error is None else part.error
        raise AudioFileError(f"{path}: {_what_is_wrong(source, cause)}") from error


def _what_is_wrong(source: AudioSource, error: Exception) -> str:
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            return "no such file"
        if path.is_dir():
            return "is a folder, expected an audio file"
        if path.is_file() and path.stat().st_size == 0:
            return "the file is empty (0 bytes)"
    text = error.strerror if isinstance(error, OSError) else getattr(error, "error_string", error)
    reason = " ".join(str(text or error).split()).rstrip(".") or "damaged data"
    return f"cannot be read as audio ({reason}); expected WAV, FLAC, OGG, OPUS, MP3 or AIFF"


def _checked_info(path: Path, file: soundfile.SoundFile) -> AudioInfo:
    info = AudioInfo(path, file.samplerate, file.channels, file.frames)
    try:
        check_info(info)
    except ValueError as error:
        raise AudioFileError(f"{path}: {error}") from error
    return info


def _read_samples(path: Path, file: soundfile.SoundFile, offset: int, num_wanted: int) -> Tensor:
    """The next samples [C, num_wanted], which are those from `offset` on."""
    wav = torch.from_numpy(file.read(num_wanted, dtype="float32", always_2d=True).T).contiguous()
    if wav.shape[-1] < num_wanted:
        raise AudioFileError(
            f"{path}: ends after {offset + wav.shape[-1]} samples where its header says "
            f"at least {offset + num_wanted} (truncated file)"
        )
    # Integers, which FLAC holds too, are always finite.
    if not file.subtype.startswith("PCM_") and not torch.isfinite(wav).all():
        raise AudioFileError(f"{path}: holds NaN or infinite samples")
    return wav
