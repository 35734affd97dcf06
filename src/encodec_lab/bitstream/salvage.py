"""What can still be read of a damaged stream of version 1: all of its records but the damaged ones."""

import io
from collections.abc import Iterator

from encodec_lab.bitstream.byte_source import ByteSource
from encodec_lab.bitstream.record_layout import Record
from encodec_lab.bitstream.record_reader import RecordReader
from encodec_lab.bitstream.v1_layout import (
    CHECK_BYTES,
    RecordHead,
    find_record_head,
    read_payload,
    read_record_head,
)
from encodec_lab.types import EcdcError

# No head is longer: four varints of nine bytes and two checks.
_MAX_HEAD_BYTES = 41
# Records that have left no bytes behind, as when a part of a file was cut out; more are taken for a forgery.
_MAX_VANISHED_RECORDS = 1000
# How often each byte may be read in vain as part of a payload, on average; more is a forgery that is to take long.
_MAX_READS_IN_VAIN = 8


def salvage_records(content: bytes, reader: RecordReader, seed: int) -> Iterator[Record]:
    """All records in order; a lost one has no frames. The whole stream is held in memory.

    A record is known by its checks, wherever it stands. If the last one cannot be found, the records end before it.

    Args:
        content: all that follows the header.
        reader: of the same stream, for the contents of the records.
        seed: the header's check.

    Raises:
        EcdcError: no record can be read at all, or the stream was forged so as to take long.
    """
    expected = 0
    num_read = 0
    num_vanished = 0
    num_bytes_in_vain = 0
    end: RecordHead | None = None  # of a last record whose payload is damaged
    position = 0
    while (position := find_record_head(content, position, seed)) >= 0:
        head, head_bytes = _head_at(content, position, seed, reader.record_samples)
        if (
            head is None
            or not reader.can_hold(head)
            or not expected <= head.index < expected + _MAX_VANISHED_RECORDS - num_vanished
        ):
            position += 1
            continue
        start = position + len(head_bytes)
        source = ByteSource(io.BytesIO(content[start : start + head.payload_size + CHECK_BYTES]))
        try:
            (record,) = reader.decode([(head, read_payload(source, head, head_bytes, seed)[0])])
        except EcdcError:
            end = head if head.is_last else end
            position += 1
            num_bytes_in_vain += source.offset
            if num_bytes_in_vain > _MAX_READS_IN_VAIN * len(content):
                raise EcdcError("the stream is forged: heads of records without their payloads") from None
            continue
        yield from (reader.lost(index) for index in range(expected, head.index))
        yield record
        num_read += 1
        num_vanished += head.index - expected
        if head.is_last:
            return
        expected = head.index + 1
        position = start + head.payload_size + CHECK_BYTES
    if num_read == 0:
        raise EcdcError("none of the stream's records can be read")
    if end is not None and expected <= end.index:
        yield from (reader.lost(index) for index in range(expected, end.index))
        yield Record(end.index, None, end.num_samples, True, end.source_samples)


def _head_at(
    content: bytes, position: int, seed: int, record_samples: int
) -> tuple[RecordHead | None, bytes]:
    try:
        source = ByteSource(io.BytesIO(content[position : position + _MAX_HEAD_BYTES]))
        return read_record_head(source, seed, record_samples)
    except EcdcError:
        return None, b""
