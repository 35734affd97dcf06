"""What can still be read of a damaged stream of version 1: all of its records but the damaged ones."""

import io
from collections.abc import Iterator

from encodec_lab.bitstream.byte_source import ByteSource
from encodec_lab.bitstream.v1 import Record, RecordReader
from encodec_lab.bitstream.v1_layout import RecordHead, read_payload, read_record_head
from encodec_lab.types import EcdcError

# No head is longer: four varints of nine bytes and their check.
_MAX_HEAD_BYTES = 38
# Records that have left no bytes behind, as when a part of a file was cut out; more are taken for a forgery.
_MAX_VANISHED_RECORDS = 1000


def salvage_records(content: bytes, reader: RecordReader, seed: int) -> Iterator[Record]:
    """All records in order; a lost one has no frames. The whole stream is held in memory.

    A record is known by its checks, wherever it stands. If the last one cannot be found, the records end before it.

    Args:
        content: all that follows the header.
        reader: of the same stream, for the contents of the records.
        seed: the header's check.

    Raises:
        EcdcError: no record can be read at all.
    """
    expected = 0
    num_read = 0
    end: RecordHead | None = None  # of a last record whose payload is damaged
    position = 0
    while position < len(content):
        head, head_bytes = _head_at(content, position, seed)
        if (
            head is None
            or not reader.can_hold(head)
            or not expected <= head.index < expected + _MAX_VANISHED_RECORDS
        ):
            position += 1
            continue
        source = ByteSource(io.BytesIO(content[position + len(head_bytes) :][: head.payload_size + 4]))
        try:
            (record,) = reader.decode([(head, read_payload(source, head, head_bytes, seed))])
        except EcdcError:
            end = head if head.is_last else end
            position += 1
            continue
        yield from (reader.lost(index) for index in range(expected, head.index))
        yield record
        num_read += 1
        if head.is_last:
            return
        expected = head.index + 1
        position += len(head_bytes) + head.payload_size + 4
    if num_read == 0:
        raise EcdcError("none of the stream's records can be read")
    if end is not None and expected <= end.index:
        yield from (reader.lost(index) for index in range(expected, end.index))
        yield Record(end.index, None, end.num_samples, True, end.source_samples)


def _head_at(content: bytes, position: int, seed: int) -> tuple[RecordHead | None, bytes]:
    try:
        return read_record_head(ByteSource(io.BytesIO(content[position : position + _MAX_HEAD_BYTES])), seed)
    except EcdcError:
        return None, b""
