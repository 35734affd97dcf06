"""Streams of version 1: frames come back, and nothing damaged passes."""

import dataclasses
import io
import os
import threading

import pytest
import torch
from bitstream.v1_streams import OVERLAP, STRIDE, encode, joined, open_stream, read, records_of, write
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav

from encodec_lab.bitstream import record_reader, record_writer
from encodec_lab.bitstream.code_payload import RawCoder
from encodec_lab.bitstream.record_reader import RecordReader
from encodec_lab.bitstream.record_writer import RecordWriter
from encodec_lab.bitstream.stream_writer import DEFAULT_RECORD_S
from encodec_lab.bitstream.v1_layout import Header, RecordHead, SourceAudio, pack_header, pack_record
from encodec_lab.models.config import ENCODEC_24KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EcdcError, EncodedFrame


@pytest.fixture(scope="module", params=[SMALL_24KHZ, SMALL_48KHZ], ids=["whole", "segments"])
def codec(request) -> EncodecModel:
    return random_codec(request.param)


LENGTHS = [
    2, 319, 320, 321, 24_000, 24_001, STRIDE, STRIDE + OVERLAP, STRIDE + OVERLAP + 1, 2 * STRIDE, 2 * STRIDE + OVERLAP,
    2 * STRIDE + OVERLAP + 1, 4 * STRIDE + 100, 200_000,
]  # fmt: skip


@pytest.mark.parametrize("num_samples", LENGTHS)
@pytest.mark.parametrize("record_s", [1.0, 2.0])
def test_frames_come_back(codec, num_samples, record_s):
    frames = encode(codec, random_wav(codec.channels, num_samples))
    records = read(codec, write(codec, num_samples, record_s, source_samples=77))
    assert [record.index for record in records] == list(range(len(records)))
    assert [record.is_last for record in records] == [False] * (len(records) - 1) + [True]
    assert sum(record.num_samples for record in records) == num_samples
    assert records[-1].source_samples == 77
    found = [frame for record in records for frame in record.frames]
    if codec.segment_length is None:
        assert torch.equal(joined(found), frames[0].codes)
    else:
        # Every segment but the last, if the one before it holds all of its samples.
        redundant = len(frames) > 1 and num_samples - STRIDE * (len(frames) - 1) <= OVERLAP
        assert len(found) == len(frames) - redundant
        for mine, original in zip(found, frames, strict=False):
            assert torch.equal(mine.codes, original.codes)
            assert torch.equal(mine.scale, original.scale)


def test_the_redundant_segment_of_one_second_is_left_out():
    codec = random_codec(SMALL_48KHZ)
    (record,) = read(codec, write(codec, 48_000))
    assert len(encode(codec, random_wav(2, 48_000))) == 2
    assert len(record.frames) == 1


def test_known_bytes():
    header = Header("m", bytes(range(8)), None, 24_000, 2, 320, SourceAudio(44_100, 2))
    packed = pack_header(header)
    assert packed.hex() == "45434443011501" + "6d" + "0001020304050607" + "00" + "c0bb01" + "02" + "c002" + (
        "c4d802" + "02" + "2c531ee0"
    )
    seed = int.from_bytes(packed[-4:])
    record = pack_record(RecordHead(1, True, 300, 551, 3, 0x123456), b"abc", seed)
    assert record.hex() == "03" + "ac02" + "a704" + "03" + "123456" + "0744" + "616263" + "7215aef4"


def test_ten_seconds_at_6_kbps_cost_under_a_percent():
    codec = random_codec(ENCODEC_24KHZ)
    codec.set_target_bandwidth(6.0)
    file = io.BytesIO()
    writer = RecordWriter(file, codec, RawCoder(10), SourceAudio(48_000, 2), DEFAULT_RECORD_S)
    writer.push(EncodedFrame(torch.zeros(1, 8, 750, dtype=torch.long), None))
    writer.finish(240_000, 480_000)
    assert len(file.getvalue()) - 7_500 < 75


def test_records_are_written_and_read_through_a_pipe(codec):
    """Each record leaves the writer as soon as it is full, and the reader gives it before the next one has come."""
    reading, writing = os.pipe()
    wav = random_wav(codec.channels, 200_000)
    frames = encode(codec, wav)
    coder = RawCoder(codec.bits_per_codebook)
    first_was_read = threading.Event()
    waited = []

    def send():
        with os.fdopen(writing, "wb", buffering=0) as file:
            writer = RecordWriter(file, codec, coder, SourceAudio(), record_s=1.0)
            for frame in frames:
                writer.push(frame)
            waited.append(first_was_read.wait(30))
            writer.finish(200_000)

    thread = threading.Thread(target=send)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as file:
        source, header, seed = open_stream(codec, file)
        records = RecordReader(source, header, seed, codec, coder).records()
        next(records)
        first_was_read.set()
        assert list(records)[-1].is_last
    thread.join()
    assert waited == [True]


@pytest.fixture
def identity_is_known(codec, monkeypatch):
    """It is not computed anew for every stream."""
    identity = record_reader.short_identity(codec)
    for module in (record_reader, record_writer):
        monkeypatch.setattr(module, "short_identity", lambda model: identity)


@pytest.mark.usefixtures("identity_is_known")
def test_every_flipped_bit_is_found(codec):
    data = write(codec, 2 * STRIDE + 1_000 if codec.segment_length else 50_000)
    step = max(1, len(data) // 300)
    for position in [*range(80), *range(80, len(data), step), *range(len(data) - 20, len(data))]:
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(EcdcError):
                read(codec, bytes(damaged))


@pytest.mark.usefixtures("identity_is_known")
def test_every_truncation_and_extension_is_found(codec):
    data = write(codec, 2 * STRIDE + 1_000 if codec.segment_length else 50_000)
    for size in [*range(5, 100), *range(100, len(data), 37), len(data) - 1]:
        with pytest.raises(EcdcError):
            read(codec, data[:size])
    with pytest.raises(EcdcError, match="goes on"):
        read(codec, data + b"\0")


def test_records_out_of_place_are_found(codec):
    header, first, second, *rest = records_of(write(codec, 200_000), codec)
    for wrong in ([second, first], [first, first, second], [second], [first, *rest]):
        with pytest.raises(EcdcError, match="missing"):
            read(codec, b"".join([header, *wrong, *rest]))


def test_records_of_another_stream_are_found(codec):
    header, first, *rest = records_of(write(codec, 200_000), codec)
    with codec.at_bandwidth(codec.target_bandwidths[0]):
        other_header, *others = records_of(write(codec, 200_000), codec)
    with pytest.raises(EcdcError, match="damaged"):
        read(codec, b"".join([other_header, first, *rest]))
    assert read(codec, b"".join([other_header, *others]))


def test_records_of_another_recording_with_the_same_header_are_found(codec):
    """Their checks are right; that of the order, in the last record, is not."""
    header, *packed = records_of(write(codec, 200_000), codec)
    other_header, *others = records_of(write(codec, 200_000, seed=1), codec)
    assert header == other_header
    differing = [number for number in range(len(packed)) if packed[number] != others[number]]
    assert {0, len(packed) - 1} <= {*differing}
    for number in differing:
        mixed = [*packed[:number], others[number], *packed[number + 1 :]]
        with pytest.raises(EcdcError, match="another recording"):
            read(codec, b"".join([header, *mixed]))
    with pytest.raises(EcdcError, match="another recording"):
        read(codec, b"".join([header, *packed[:2], *others[2:]]))


def test_another_model_is_refused():
    codec, other = random_codec(SMALL_24KHZ), random_codec(SMALL_24KHZ, seed=1)
    with pytest.raises(EcdcError, match="--model"):
        read(other, write(codec, 1_000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"record_samples": 321}, "multiple"),
        ({"record_samples": 0}, "fit"),
        ({"record_samples": 2**40}, "at most"),
        ({"num_codebooks": 7}, "codebooks"),
        ({"sample_rate_hz": 16_000}, "16000 Hz"),
        ({"model_identity": bytes(8)}, "identity"),
        ({"model_name": "another"}, "another"),
    ],
)
def test_headers_that_cannot_be(codec, change, words):
    _, header, _ = open_stream(codec, io.BytesIO(write(codec, 1_000)))
    forged = pack_header(dataclasses.replace(header, **change))
    with pytest.raises(EcdcError, match=words):
        read(codec, forged)


@pytest.mark.parametrize("num_samples", [0, 2**50, 24_001])
def test_records_that_cannot_be_allocate_nothing(codec, num_samples):
    _, header, seed = open_stream(codec, io.BytesIO(data := write(codec, 1_000)))
    packed = pack_header(header)
    head = RecordHead(0, True, num_samples, 0, 2**40)
    with pytest.raises(EcdcError):
        read(codec, packed + pack_record(head, b"", seed))
    assert data.startswith(packed)


def test_a_name_too_long_for_the_header():
    with pytest.raises(ValueError, match="255"):
        pack_header(Header("m" * 256, bytes(8), None, 24_000, 2, 320, SourceAudio()))
