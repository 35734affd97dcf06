"""The `.ecdc` format version 1, byte by byte: a header, then records that stand on their own.

    size    field of the header
    4       magic: the ASCII letters ECDC
    1       version: 1
    varint  size of what follows up to the check, at most 511
    varint  size of the name, 1 ... 255
    .       name of the model, UTF-8
    8       identity of the model: the first bytes of the SHA-256 of its tensors (`models.identity`)
    1       payload type: 0 raw, 1 integer language model
    8       identity of the language model; only with payload type 1
    varint  sample rate of the model in Hz
    varint  number of codebooks K
    varint  samples of a full record, or 0: all is in one record
    varint  sample rate of the source in Hz, or 0: unknown
    1       channels of the source, or 0: unknown
    4       check: CRC-32 of all bytes before it

    size    field of a record
    varint  2 * index + 1 for the last record, 2 * index for the others; the index counts from 0
    varint  samples N of the recording in this record, at the model's rate; only in the last record, the others are full
    varint  length of the source in samples per channel, or 0: unknown; only in the last record
    varint  size S of the payload
    3       check of the order: low bytes of the CRC-32 of the checks of all records before; only in the last record
    2       check of the head: low half of the CRC-32 of the fields above
    S       payload
    4       check: CRC-32 of all bytes of the record before it

Varints are unsigned LEB128 (`entropy.varint`); the other numbers are big-endian. Each CRC-32 of a record is zlib's,
begun with the header's check instead of 0, so that no record of a stream with another header fits in. The last record
ends the stream; one that ends before it has been cut. Its check of the order tells records that were exchanged for
those of another recording with the same header.

The payload holds the segments of the model that start in the record's N samples, or one part of the codes for a model
without segments: first their scales, big-endian float32 each, if the model normalises its input, then the codes
[L, K] of all of them, time-major, coded as the payload type says: 0 by `entropy.bit_packing`; 1 by `lm_coder`, which
has the bytes. A segment that holds no sample that the one before it does not hold, as the last one can, is left out;
so the last record can have up to an overlap more samples than a full one. A record starts the entropy coder and the
language model's context anew (with type 1 once more in its middle), but not the codec: a decoder that streams goes on
from one record to the next.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from encodec_lab.bitstream.byte_source import MAGIC, ByteSource
from encodec_lab.entropy.varint import decode_varint, encode_varint
from encodec_lab.models.identity import SHORT_BYTES
from encodec_lab.types import EcdcError

VERSION = 1
RAW_PAYLOAD = 0
LM_PAYLOAD = 1
MAX_BODY_BYTES = 511
MAX_NAME_BYTES = 255
CHECK_BYTES = 4
HEAD_CHECK_BYTES = 2
ORDER_CHECK_BYTES = 3
_CHUNK_BYTES = 1 << 16

# The fields of a head and its check, wherever they may start: of the last record, whose tag is odd, or of another.
_VARINT = rb"[\x80-\xff]{0,8}+[\x00-\x7f]"
_ODD = re.escape(bytes(range(1, 256, 2)))
_HEAD = re.compile(
    rb"(?=((?=[%(odd)b])(?:%(varint)b){4}.{3}|(?![%(odd)b])(?:%(varint)b){2})(..))"
    % {b"odd": _ODD, b"varint": _VARINT},
    re.DOTALL,
)


@dataclass(frozen=True)
class SourceAudio:
    """What was compressed, before it was converted for the model; 0 stands for unknown.

    Attributes:
        sample_rate_hz: its sample rate.
        channels: its number of channels.
    """

    sample_rate_hz: int = 0
    channels: int = 0


@dataclass(frozen=True)
class Header:
    """What a stream says about itself.

    Attributes:
        model_name: the model that made it.
        model_identity: the first 8 bytes of the hash of that model's tensors.
        lm_identity: likewise of the language model that the codes are coded with, or None if they are raw.
        sample_rate_hz: the model's.
        num_codebooks: K.
        record_samples: samples of all records but the last, or 0 if there is a single one.
        source: what was compressed.
    """

    model_name: str
    model_identity: bytes
    lm_identity: bytes | None
    sample_rate_hz: int
    num_codebooks: int
    record_samples: int
    source: SourceAudio


@dataclass(frozen=True)
class RecordHead:
    """What a record says about itself.

    Attributes:
        index: its place, from 0.
        is_last: whether the stream ends with it.
        num_samples: of the recording, at the model's rate.
        source_samples: length of the source, 0 if unknown or not the last record.
        payload_size: in bytes.
        order_check: `RecordOrder.check` (`record_order`) of the records before, if it is the last one.
    """

    index: int
    is_last: bool
    num_samples: int
    source_samples: int
    payload_size: int
    order_check: int = 0


def pack_header(header: Header) -> bytes:
    """The header's bytes; its last four seed the checks of the records.

    Raises:
        ValueError: the model's name takes more than 255 bytes.
    """
    name = header.model_name.encode()
    if not 1 <= len(name) <= MAX_NAME_BYTES:
        raise ValueError(
            f"the model's name must take 1 to {MAX_NAME_BYTES} bytes in a stream, got {len(name)}"
        )
    body = encode_varint(len(name)) + name + header.model_identity
    body += bytes([RAW_PAYLOAD]) if header.lm_identity is None else bytes([LM_PAYLOAD]) + header.lm_identity
    for number in (header.sample_rate_hz, header.num_codebooks, header.record_samples):
        body += encode_varint(number)
    body += encode_varint(header.source.sample_rate_hz) + bytes([header.source.channels])
    start = MAGIC + bytes([VERSION]) + encode_varint(len(body)) + body
    return start + _check(start)


def read_header(source: ByteSource) -> tuple[Header, int]:
    """The header, from a source whose version has been read, and its check.

    Raises:
        EcdcError: it is cut, damaged, or holds impossible values.
    """
    start = bytearray(MAGIC + bytes([VERSION]))
    size = _read_varint(source, start, "the size of the header")
    if size > MAX_BODY_BYTES:
        raise EcdcError(f"byte 5: a header of {size} bytes; at most {MAX_BODY_BYTES} are accepted")
    body = source.exactly(size, "the header")
    start += body
    check = source.exactly(CHECK_BYTES, "the check of the header")
    if check != _check(bytes(start)):
        raise EcdcError(
            f"bytes 0 to {len(start) + CHECK_BYTES}: the header is damaged, its check does not fit"
        )
    return _parse_body(body), int.from_bytes(check)


def pack_record(head: RecordHead, payload: bytes, seed: int) -> bytes:
    """A record's bytes, in a stream whose header has the check `seed`."""
    start = encode_varint(2 * head.index + head.is_last)
    if head.is_last:
        start += encode_varint(head.num_samples) + encode_varint(head.source_samples)
    start += encode_varint(len(payload))
    if head.is_last:
        start += head.order_check.to_bytes(ORDER_CHECK_BYTES)
    start += _head_check(start, seed)
    return start + payload + _check(start + payload, seed)


def read_record_head(source: ByteSource, seed: int, record_samples: int) -> tuple[RecordHead, bytes]:
    """The head of the next record, of which a full one has `record_samples`, and its bytes.

    Raises:
        EcdcError: it is cut or damaged.
    """
    offset = source.offset
    start = bytearray()
    what = "the head of a record: the stream has been cut before its last record"
    tag = _read_varint(source, start, what)
    num_samples = _read_varint(source, start, what) if tag & 1 else record_samples
    source_samples = _read_varint(source, start, what) if tag & 1 else 0
    payload_size = _read_varint(source, start, what)
    order_check = source.exactly(ORDER_CHECK_BYTES, what) if tag & 1 else b""
    start += order_check
    check = source.exactly(HEAD_CHECK_BYTES, what)
    if check != _head_check(bytes(start), seed):
        raise EcdcError(f"byte {offset}: the head of a record is damaged, its check does not fit")
    head = RecordHead(
        tag >> 1, bool(tag & 1), num_samples, source_samples, payload_size, int.from_bytes(order_check)
    )
    return head, bytes(start + check)


def find_record_head(content: bytes, start: int, seed: int) -> int:
    """Where, from `start` on, the first head of a record with the right check may be; -1 if nowhere.

    One place in 65,536 has such a check by chance, and `read_record_head` refuses some of these.
    """
    for match in _HEAD.finditer(content, start):
        fields, check = match.groups()
        if check == _head_check(fields, seed):
            return match.start()
    return -1


def read_payload(source: ByteSource, head: RecordHead, head_bytes: bytes, seed: int) -> tuple[bytes, bytes]:
    """The payload of a record whose head has been read, and its check.

    Raises:
        EcdcError: it is cut or damaged.
    """
    offset = source.offset
    payload = source.exactly(head.payload_size, f"record {head.index}")
    return payload, _read_check(source, head, offset, zlib.crc32(payload, zlib.crc32(head_bytes, seed)))


def skip_payload(source: ByteSource, head: RecordHead, head_bytes: bytes, seed: int) -> bytes:
    """As `read_payload`, in constant memory: only the check is returned."""
    offset = source.offset
    check = zlib.crc32(head_bytes, seed)
    for start in range(0, head.payload_size, _CHUNK_BYTES):
        size = min(_CHUNK_BYTES, head.payload_size - start)
        check = zlib.crc32(source.exactly(size, f"record {head.index}"), check)
    return _read_check(source, head, offset, check)


def _read_check(source: ByteSource, head: RecordHead, offset: int, expected: int) -> bytes:
    check = source.exactly(CHECK_BYTES, f"the check of record {head.index}")
    if int.from_bytes(check) != expected:
        raise EcdcError(
            f"record {head.index}, bytes {offset} to {source.offset}: it is damaged, its check does not fit;"
            " --salvage decodes the other records"
        )
    return check


def _check(content: bytes, seed: int = 0) -> bytes:
    return zlib.crc32(content, seed).to_bytes(CHECK_BYTES)


def _head_check(content: bytes, seed: int) -> bytes:
    return zlib.crc32(content, seed).to_bytes(CHECK_BYTES)[-HEAD_CHECK_BYTES:]


def _read_varint(source: ByteSource, seen: bytearray, what: str) -> int:
    """The next varint; its bytes are appended to `seen`."""

    def next_byte() -> int:
        seen.extend(source.exactly(1, what))
        return seen[-1]

    offset = source.offset
    try:
        return decode_varint(next_byte)
    except EcdcError:
        raise
    except ValueError as error:
        raise EcdcError(f"byte {offset}: {error}") from error


def _parse_body(body: bytes) -> Header:
    fields = _Fields(body)
    try:
        name = fields.take(fields.varint()).decode()
        model_identity = fields.take(SHORT_BYTES)
        payload_type = fields.take(1)[0]
        if payload_type not in (RAW_PAYLOAD, LM_PAYLOAD):
            raise ValueError(f"payload type {payload_type} is unknown; a newer program may read it")
        lm_identity = fields.take(SHORT_BYTES) if payload_type == LM_PAYLOAD else None
        sample_rate_hz, num_codebooks, record_samples = (fields.varint() for _ in range(3))
        source = SourceAudio(fields.varint(), fields.take(1)[0])
        if not name or not sample_rate_hz or not num_codebooks:
            raise ValueError("the name, the sample rate and the number of codebooks must not be 0")
        if fields.left:
            raise ValueError(f"it goes on for {fields.left} bytes after its last field")
    except ValueError as error:  # of which UnicodeDecodeError is one
        raise EcdcError(f"the header cannot be read: {error}") from error
    return Header(name, model_identity, lm_identity, sample_rate_hz, num_codebooks, record_samples, source)


class _Fields:
    """Reads fields out of bytes; ValueError at their end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._position

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError("it ends within a field")
        self._position += size
        return self._content[self._position - size : self._position]

    def varint(self) -> int:
        take: Callable[[], int] = lambda: self.take(1)[0]  # noqa: E731
        return decode_varint(take)
