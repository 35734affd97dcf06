"""What can be saved of damaged streams is saved, and soon."""

import dataclasses
import io
import random
import time
from collections.abc import Iterator

import pytest
import torch
from bitstream.v1_streams import joined, open_stream, read, records_of, write
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.bitstream import salvage as salvage_module
from encodec_lab.bitstream import v1_layout
from encodec_lab.bitstream.byte_source import ByteSource
from encodec_lab.bitstream.code_payload import RawCoder
from encodec_lab.bitstream.record_layout import Record
from encodec_lab.bitstream.record_reader import RecordReader
from encodec_lab.bitstream.salvage import salvage_records
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EcdcError


def salvage(codec: EncodecModel, data: bytes) -> list[Record]:
    source, header, seed = open_stream(codec, io.BytesIO(data))
    reader = RecordReader(source, header, seed, codec, RawCoder(codec.bits_per_codebook))
    return list(salvage_records(data[source.offset :], reader, seed))


def test_one_damaged_record_costs_that_record_alone(codec):
    data = write(codec, 200_000)
    whole = read(codec, data)
    header, *packed = records_of(data, codec)
    for lost in range(len(packed)):
        for position in (0, 2, 5, len(packed[lost]) // 2, len(packed[lost]) - 1):
            damaged = bytearray(packed[lost])
            damaged[position] ^= 0x55
            found = salvage(codec, b"".join([header, *packed[:lost], bytes(damaged), *packed[lost + 1 :]]))
            payload_of_last = lost == len(packed) - 1 and position > 12
            if lost == len(packed) - 1 and not payload_of_last:
                assert len(found) == len(whole) - 1  # nothing says that there was one
                continue
            assert [record.frames is None for record in found] == [
                index == lost for index in range(len(whole))
            ]
            assert [record.num_samples for record in found] == [record.num_samples for record in whole]
            for mine, original in zip(found, whole, strict=True):
                if mine.frames is not None:
                    assert torch.equal(joined(mine.frames), joined(original.frames))


def test_lost_bytes_and_added_bytes_cost_no_other_record(codec):
    data = write(codec, 200_000)
    header, *packed = records_of(data, codec)
    lost = [record.frames is None for record in salvage(codec, b"".join([header, packed[0], *packed[2:]]))]
    assert lost == [index == 1 for index in range(len(packed))]
    added = salvage(codec, b"".join([header, b"noise", packed[0], b"more noise" * 9, *packed[1:]]))
    assert [record.frames is None for record in added] == [False] * len(packed)


def damaged_streams(data: bytes, first_record: int, num_streams: int) -> Iterator[bytes]:
    """With bytes changed, left out, repeated and made up."""
    draws = random.Random(3)
    for _ in range(num_streams):
        parts = [data[:first_record]]
        position = first_record
        while position < len(data):
            size = draws.randrange(1, 400)
            part = data[position : position + size]
            kind = draws.randrange(10)
            parts.append({0: draws.randbytes(size), 1: b"", 2: part * 2, 3: b"\x80" * size}.get(kind, part))
            position += size
        yield b"".join(parts)


def test_salvage_tries_every_place_at_which_a_record_can_start(codec, monkeypatch):
    """By finding heads fast it finds what it finds by trying every byte."""
    data = write(codec, 100_000, record_s=0.05 if codec.segment_length is None else 1.0)
    source, *_ = open_stream(codec, io.BytesIO(data))
    streams = list(damaged_streams(data, source.offset, 10))
    found = [salvaged_or_error(codec, stream) for stream in streams]
    assert len({str(records) for records in found}) > 3
    every_place = lambda content, start, seed: start if start < len(content) else -1  # noqa: E731
    monkeypatch.setattr(salvage_module, "find_record_head", every_place)
    assert found == [salvaged_or_error(codec, stream) for stream in streams]


def salvaged_or_error(codec: EncodecModel, data: bytes):
    try:
        records = salvage(codec, data)
    except EcdcError as error:
        return str(error)
    return [
        (dataclasses.replace(record, frames=None), record.frames and joined(record.frames).tolist())
        for record in records
    ]


def test_noise_is_searched_fast():
    codec = random_codec(SMALL_24KHZ)
    header, *packed = records_of(write(codec, 50_000), codec)
    noise = random.Random(0).randbytes(1 << 18)
    start_s = time.process_time()
    records = salvage(codec, b"".join([header, packed[0], noise, *packed[1:]]))
    assert time.process_time() - start_s < 1.5
    assert [record.frames is None for record in records] == [False] * len(packed)


def test_nothing_to_salvage(codec):
    header, *_ = records_of(write(codec, 200_000), codec)
    with pytest.raises(EcdcError, match="none"):
        salvage(codec, header + b"noise" * 100)


def test_salvaging_a_forgery_ends_soon():
    """Thousands of heads of records that claim long payloads, each with the right check."""
    codec = random_codec(SMALL_24KHZ)
    data = write(codec, 200_000, record_s=8.0)
    header, *packed = records_of(data, codec)
    seed = int.from_bytes(header[-4:])
    source = ByteSource(io.BytesIO(packed[0]))
    _, head_bytes = v1_layout.read_record_head(source, seed, 192_000)
    with pytest.raises(EcdcError, match="forged"):
        salvage(codec, header + head_bytes * 2_000)
