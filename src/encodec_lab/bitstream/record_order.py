"""That the records of a stream of version 1 are all there, in order, and of one recording."""

import zlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from encodec_lab.bitstream.byte_source import ByteSource
from encodec_lab.bitstream.v1_layout import ORDER_CHECK_BYTES, RecordHead, read_record_head
from encodec_lab.types import EcdcError

Content = TypeVar("Content")


class RecordOrder:
    """Follows the records of a stream, for the check of the order that its last record holds."""

    def __init__(self, seed: int) -> None:
        self._crc = seed
        self._num_records = 0

    @property
    def check(self) -> int:
        """Of the records that have passed."""
        return self._crc & ((1 << (8 * ORDER_CHECK_BYTES)) - 1)

    def expect(self, head: RecordHead) -> None:
        """Raise EcdcError unless that is the head of the next record, or of the last one of this recording."""
        if head.index != self._num_records:
            raise EcdcError(f"record {self._num_records} is missing: record {head.index} stands in its place")
        if head.is_last and head.order_check != self.check:
            raise EcdcError(f"record {head.index} is the last one of another recording")

    def add(self, check: bytes) -> None:
        """Let a record pass, of which these are the last four bytes."""
        self._num_records += 1
        self._crc = zlib.crc32(check, self._crc)


def read_in_order(
    source: ByteSource,
    seed: int,
    record_samples: int,
    read_content: Callable[[RecordHead, bytes], tuple[Content, bytes]],
) -> Iterator[tuple[RecordHead, Content]]:
    """The head and the content of every record, to the end of the stream.

    Args:
        source: at the first record.
        seed: the header's check.
        record_samples: of a full record, as the header says.
        read_content: reads on after a head, given it and its bytes; returns the content and the record's check.

    Raises:
        EcdcError: a record is damaged, missing or in the wrong place, or the stream is cut; after the last record: the
            stream goes on.
    """
    order = RecordOrder(seed)
    is_last = False
    while not is_last:
        head, head_bytes = read_record_head(source, seed, record_samples)
        order.expect(head)
        content, check = read_content(head, head_bytes)
        order.add(check)
        yield head, content
        is_last = head.is_last
    if source.at_most(1):
        raise EcdcError(f"the stream goes on after its last record, record {head.index}")
