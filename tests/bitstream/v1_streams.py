"""Streams of version 1 of small codecs, written, read and taken apart."""

import io

import torch
from small_codec import random_wav

from encodec_lab.bitstream import v1_layout
from encodec_lab.bitstream.byte_source import ByteSource, read_version
from encodec_lab.bitstream.code_payload import RawCoder
from encodec_lab.bitstream.record_layout import Record
from encodec_lab.bitstream.record_reader import RecordReader
from encodec_lab.bitstream.record_writer import RecordWriter
from encodec_lab.bitstream.v1_layout import Header, SourceAudio
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EcdcError

STRIDE = 47_520
OVERLAP = 480


def encode(codec: EncodecModel, wav: torch.Tensor):
    with torch.no_grad():
        return codec.encode(wav[None])


def write(
    codec: EncodecModel, num_samples: int, record_s: float = 1.0, source_samples: int = 0, seed: int = 0
) -> bytes:
    file = io.BytesIO()
    writer = RecordWriter(file, codec, RawCoder(codec.bits_per_codebook), SourceAudio(44_100, 2), record_s)
    for frame in encode(codec, random_wav(codec.channels, num_samples, seed)):
        writer.push(frame)
    writer.finish(num_samples, source_samples)
    return file.getvalue()


def open_stream(codec: EncodecModel, file) -> tuple[ByteSource, Header, int]:
    source = ByteSource(file)
    if read_version(source) != 1:
        raise EcdcError("another version, for which others are responsible")
    return source, *v1_layout.read_header(source)


def read(codec: EncodecModel, data: bytes) -> list[Record]:
    source, header, seed = open_stream(codec, io.BytesIO(data))
    return list(RecordReader(source, header, seed, codec, RawCoder(codec.bits_per_codebook)).records())


def joined(frames) -> torch.Tensor:
    return torch.cat([frame.codes for frame in frames], dim=-1)


def records_of(data: bytes, codec: EncodecModel) -> list[bytes]:
    """The header, and each record."""
    source, header, seed = open_stream(codec, io.BytesIO(data))
    ends = [0, source.offset]
    while source.offset < len(data):
        head, head_bytes = v1_layout.read_record_head(source, seed, header.record_samples)
        v1_layout.read_payload(source, head, head_bytes, seed)
        ends.append(source.offset)
    return [data[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]
