"""Carrying out jobs, in constant memory whatever the length of the recordings."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from torch import Tensor

from encodec_lab.bitstream.byte_source import ReadableBytes
from encodec_lab.bitstream.stream_reader import StreamReader
from encodec_lab.bitstream.stream_writer import write_blocks
from encodec_lab.bitstream.v1_layout import SourceAudio
from encodec_lab.cli.arguments import STANDARD_STREAM, Arguments
from encodec_lab.cli.jobs import Action, Job
from encodec_lab.cli.messages import say
from encodec_lab.cli.model_choice import ModelChoice
from encodec_lab.cli.outputs import open_stream_output, write_decompressed
from encodec_lab.cli.side_by_side import ShowProgress
from encodec_lab.cli.standard_streams import StandardInput
from encodec_lab.data.audio_blocks import AudioBlocks, convert_blocks
from encodec_lab.data.audio_file import (
    MAX_CHANNELS,
    MAX_SAMPLE_RATE_HZ,
    MIN_SAMPLE_RATE_HZ,
    AudioFileError,
    AudioSource,
    probe,
)
from encodec_lab.types import EcdcError

BLOCK_S = 5.0
# Streams up to this size stay in memory between compression and decompression.
_SPOOLED_BYTES = 1 << 24


class Transcoder:
    """Compresses and decompresses files as the arguments say.

    Args:
        arguments: what was asked for.
        stdin: where the path `-` is read from.
        num_threads: to do the work on one file in, on a CPU.
    """

    def __init__(self, arguments: Arguments, stdin: StandardInput, num_threads: int = 1) -> None:
        self._arguments = arguments
        self._num_threads = num_threads
        self._stdin = stdin
        self._models = ModelChoice(arguments)

    def run(self, job: Job, show: ShowProgress) -> None:
        """Do one job.

        Raises:
            ValueError: bad audio, a bad stream, a model that is not at hand or lacks what was asked for.
            OSError: a file that cannot be read or written.
        """
        if job.action is Action.COMPRESS:
            with self._audio(job.source) as audio, open_stream_output(job.target) as file:
                self._compress(audio, file, job.target == STANDARD_STREAM, show)
        elif job.action is Action.DECOMPRESS:
            with self._stream(job.source) as (file, size):
                self._decompress(job, file, size, show)
        else:
            with self._audio(job.source) as audio, tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as file:
                stream = cast(BinaryIO, file)
                self._compress(audio, stream, False, lambda share: show(share / 2))
                size = file.tell()
                file.seek(0)
                self._decompress(job, file, size, lambda share: show(0.5 + share / 2))

    def _compress(self, audio: AudioSource, file: BinaryIO, streams: bool, show: ShowProgress) -> None:
        probe(audio)  # bad audio is refused before weights are fetched
        model = self._models.encoder()
        blocks = AudioBlocks(audio, model.sample_rate, model.channels, BLOCK_S)
        write_blocks(
            file,
            model,
            _watched(blocks, blocks.num_samples, show),
            use_lm=self._arguments.lm,
            format=self._arguments.format or ("v1" if streams else None),
            source=SourceAudio(blocks.info.sample_rate_hz, blocks.info.channels),
            source_samples=blocks.info.num_samples,
            num_threads=self._num_threads,
        )

    def _decompress(self, job: Job, file: ReadableBytes, size: int | None, show: ShowProgress) -> None:
        label = "standard input" if job.source == STANDARD_STREAM else str(job.source)
        try:
            if job.action is Action.ROUND_TRIP:
                reader = StreamReader(file, model=self._models.encoder(), num_threads=self._num_threads)
            else:
                reader = StreamReader(
                    file,
                    salvage=self._arguments.salvage,
                    load=self._models.decoder,
                    num_threads=self._num_threads,
                )
            sample_rate_hz = reader.model.sample_rate
            pieces = _shown(reader, size, show)
            if self._arguments.restore:
                sample_rate_hz = _source_rate(reader)
                pieces = _restored(reader, pieces)
            write_decompressed(job.target, pieces, sample_rate_hz, self._arguments.rescale)
        except EcdcError as error:
            raise EcdcError(f"{label}: {error}") from error
        _report_losses(label, reader)

    @contextmanager
    def _audio(self, path: Path) -> Iterator[AudioSource]:
        """The audio at a path; that on standard input is kept on disk, because audio files are read with seeking."""
        if path != STANDARD_STREAM:
            yield path
            return
        with tempfile.NamedTemporaryFile(suffix=".audio") as file:
            shutil.copyfileobj(self._stdin, file)
            file.seek(0)
            try:
                yield cast(BinaryIO, file)
            except AudioFileError as error:
                raise AudioFileError(str(error).replace(file.name, "standard input")) from error

    @contextmanager
    def _stream(self, path: Path) -> Iterator[tuple[ReadableBytes, int | None]]:
        """The stream at a path, and its size in bytes if that is known."""
        if path == STANDARD_STREAM:
            yield self._stdin, None
        else:
            with open(path, "rb") as file:
                yield file, path.stat().st_size


def _watched(blocks: Iterable[Tensor], num_samples: int, show: ShowProgress) -> Iterator[Tensor]:
    position = 0
    for block in blocks:
        yield block
        position += block.shape[-1]
        show(position / num_samples)


def _shown(reader: StreamReader, size: int | None, show: ShowProgress) -> Iterator[Tensor]:
    for piece in reader.pieces():
        yield piece
        if size:
            show(reader.num_bytes_read / size)


def _source_rate(reader: StreamReader) -> int:
    if not reader.source.sample_rate_hz or not reader.source.channels:
        raise EcdcError(
            "--restore: the stream does not say what was compressed (version 0 never does); leave --restore out"
        )
    rate, channels = reader.source.sample_rate_hz, reader.source.channels
    if not MIN_SAMPLE_RATE_HZ <= rate <= MAX_SAMPLE_RATE_HZ or channels > MAX_CHANNELS:
        raise EcdcError(
            f"--restore: the stream claims that it was made of {channels} channels at {rate} Hz; leave --restore out"
        )
    return rate


def _restored(reader: StreamReader, pieces: Iterator[Tensor]) -> Iterator[Tensor]:
    """The pieces with the sample rate, channels and length of what was compressed."""
    position = 0
    source = reader.source
    for piece in convert_blocks(pieces, reader.model.sample_rate, source.sample_rate_hz, source.channels):
        # Known at the end, which is where resampling there and back may have added a sample.
        end = piece.shape[-1] if not reader.source_samples else reader.source_samples - position
        position += piece.shape[-1]
        if end > 0:
            yield piece[:, :end]


def _report_losses(label: str, reader: StreamReader) -> None:
    rate = reader.model.sample_rate
    for start, length in reader.lost:
        say(f"{label}: damaged from {start / rate:.2f} s to {(start + length) / rate:.2f} s, silence instead")
    if reader.is_cut:
        say(f"{label}: the end is missing")
