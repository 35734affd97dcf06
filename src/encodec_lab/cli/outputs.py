"""Writing results: whole or not at all, and without clipping unnoticed."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from encodec_lab.cli.arguments import STANDARD_STREAM
from encodec_lab.cli.messages import say
from encodec_lab.cli.standard_streams import standard_output
from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.data.audio_file import write_wav_pieces

PEAK_LIMIT = 0.99  # the reference's
_READ_BACK_SAMPLES = 1 << 20


@contextmanager
def open_stream_output(path: Path) -> Iterator[BinaryIO]:
    """A file to write a stream to, which appears whole or not at all; or standard output, as it comes."""
    if path == STANDARD_STREAM:
        with standard_output() as output:
            yield output
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staged, open(staged, "wb") as file:
        yield file


def write_decompressed(path: Path, pieces: Iterable[Tensor], sample_rate_hz: int, rescale: bool) -> None:
    """Write pieces [C, T] as WAV with no sample beyond `PEAK_LIMIT`: scaled down as a whole if `rescale`, else clipped.

    Clipping is said on standard error. The file appears whole or not at all; standard output waits for the end, because
    a WAV file begins with its length.
    """
    if path == STANDARD_STREAM:
        with tempfile.TemporaryDirectory() as folder:
            staged = Path(folder) / "decompressed.wav"
            _write(staged, pieces, sample_rate_hz, rescale, label="standard output")
            with open(staged, "rb") as file, standard_output() as output:
                shutil.copyfileobj(file, output)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, pieces, sample_rate_hz, rescale, label=str(path))


def _write(path: Path, pieces: Iterable[Tensor], sample_rate_hz: int, rescale: bool, label: str) -> None:
    peak = _Peak()
    seen = peak.watch(pieces)
    if rescale:  # the scale hangs on the highest peak, so the samples wait on disk for it
        with tempfile.TemporaryFile(dir=path.parent) as file:
            num_channels = _store(file, seen)
            scale = PEAK_LIMIT / max(peak.value, PEAK_LIMIT)
            stored = (scale * piece for piece in _stored(file, num_channels))
            write_wav_pieces(path, (piece.clamp(-PEAK_LIMIT, PEAK_LIMIT) for piece in stored), sample_rate_hz)
        return
    write_wav_pieces(path, (piece.clamp(-PEAK_LIMIT, PEAK_LIMIT) for piece in seen), sample_rate_hz)
    if peak.value > PEAK_LIMIT:
        say(
            f"{label}: clipping: the peak is {peak.value:.3f}, the limit {PEAK_LIMIT};"
            " use -r / --rescale to scale the output down instead"
        )


class _Peak:
    """The largest absolute sample of the pieces that pass."""

    def __init__(self) -> None:
        self.value = 0.0

    def watch(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        for piece in pieces:
            self.value = max(self.value, piece.abs().max().item())
            yield piece


def _store(file: BinaryIO, pieces: Iterable[Tensor]) -> int:
    """Write the samples of the pieces; returns their number of channels."""
    num_channels = 1
    for piece in pieces:
        num_channels = piece.shape[0]
        file.write(piece.T.contiguous().cpu().numpy().astype(np.float32).tobytes())
    file.seek(0)
    return num_channels


def _stored(file: BinaryIO, num_channels: int) -> Iterator[Tensor]:
    """What `_store` wrote, in pieces [C, T]."""
    read: Callable[[], bytes] = lambda: file.read(4 * num_channels * _READ_BACK_SAMPLES)  # noqa: E731
    for content in iter(read, b""):
        yield torch.from_numpy(np.frombuffer(content, dtype=np.float32).reshape(-1, num_channels).T.copy())
