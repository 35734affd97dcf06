"""Streams of the `.ecdc` format version 1 to encoded frames; `v1_layout` has the bytes.

Records are read one by one, so a stream can come out of a pipe, in constant memory.
"""

from collections.abc import Iterator, Sequence

import torch

from encodec_lab.bitstream.byte_source import ByteSource
from encodec_lab.bitstream.code_payload import CodeCoder, CodedRecord
from encodec_lab.bitstream.record_layout import Record, RecordLayout
from encodec_lab.bitstream.record_order import read_in_order
from encodec_lab.bitstream.scale import SCALE_BYTES, unpack_scale
from encodec_lab.bitstream.v1_layout import Header, RecordHead, read_payload
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import short_identity
from encodec_lab.types import EcdcError, EncodedFrame


class RecordReader:
    """Reads the records of one stream.

    Args:
        source: at the first record.
        header: of the stream.
        seed: the header's check.
        model: made the stream.
        coder: decodes the codes.

    Attributes:
        record_samples: samples of all records but the last.

    Raises:
        EcdcError: the header does not fit the model.
    """

    def __init__(
        self, source: ByteSource, header: Header, seed: int, model: EncodecModel, coder: CodeCoder
    ) -> None:
        check_header(header, model)
        self._source = source
        self._seed = seed
        self._coder = coder
        self._num_codebooks = header.num_codebooks
        self._normalizes = model.normalize
        self._layout = RecordLayout(model, header.record_samples)
        self.record_samples = header.record_samples

    def records(self) -> Iterator[Record]:
        """All records in order.

        Raises:
            EcdcError: one is damaged, missing or in the wrong place, or the stream is cut or goes on after its end.
        """
        waiting: list[tuple[RecordHead, bytes]] = []
        for record in read_in_order(self._source, self._seed, self.record_samples, self._read_payload):
            waiting.append(record)
            if len(waiting) == self._coder.records_at_a_time:
                yield from self.decode(waiting)
                waiting = []
        if waiting:
            yield from self.decode(waiting)

    def can_hold(self, head: RecordHead) -> bool:
        """Whether a record of this stream can be of such sizes."""
        try:
            self._check_head(head)
        except EcdcError:
            return False
        return True

    def lost(self, index: int) -> Record:
        """A record, not the last one, that cannot be read."""
        return Record(index, None, self._layout.record_samples, False, 0)

    def silence(self, record: Record) -> list[EncodedFrame]:
        """Segments in place of a lost record's that decode to silence; for models that normalise only."""
        assert self._normalizes
        num_frames = self._layout.segment_frames(record.num_samples, record.is_last)
        return [
            EncodedFrame(torch.zeros(1, self._num_codebooks, size, dtype=torch.long), torch.zeros(1, 1))
            for size in num_frames
        ]

    def decode(self, records: Sequence[tuple[RecordHead, bytes]]) -> list[Record]:
        """What records hold, from their heads and payloads; EcdcError if a payload is impossible."""
        parts = [self._divide(head, payload) for head, payload in records]
        try:
            codes = self._coder.decode([coded for coded, _, _ in parts])
        except ValueError as error:
            raise EcdcError(f"records {records[0][0].index} to {records[-1][0].index}: {error}") from error
        return [
            Record(
                head.index,
                [
                    EncodedFrame(part.contiguous(), scale)
                    for part, scale in zip(
                        torch.split(torch.from_numpy(of_record)[None], num_frames, dim=-1),
                        scales,
                        strict=True,
                    )
                ],
                head.num_samples,
                head.is_last,
                head.source_samples,
            )
            for (head, _), (_, num_frames, scales), of_record in zip(records, parts, codes, strict=True)
        ]

    def _read_payload(self, head: RecordHead, head_bytes: bytes) -> tuple[bytes, bytes]:
        self._check_head(head)
        return read_payload(self._source, head, head_bytes, self._seed)

    def _check_head(self, head: RecordHead) -> None:
        """Raise EcdcError unless a record can be of these sizes; before anything of these sizes is allocated."""
        self._layout.check(head)
        num_frames = self._layout.segment_frames(head.num_samples, head.is_last)
        fewest, most = self._coder.size_bounds(self._num_codebooks, sum(num_frames))
        scales = SCALE_BYTES * len(num_frames) if self._normalizes else 0
        if not fewest <= head.payload_size - scales <= most:
            raise EcdcError(
                f"record {head.index}: {head.num_samples} samples take {fewest + scales} to {most + scales} bytes, it"
                f" claims {head.payload_size}"
            )

    def _divide(
        self, head: RecordHead, payload: bytes
    ) -> tuple[CodedRecord, list[int], Sequence[torch.Tensor | None]]:
        """The coded codes of a record, the frames of each of its segments, and their scales [1, 1]."""
        num_frames = self._layout.segment_frames(head.num_samples, head.is_last)
        scales: list[torch.Tensor | None] = [None] * len(num_frames)
        size = 0
        if self._normalizes:
            size = SCALE_BYTES * len(num_frames)
            packed = [payload[start : start + SCALE_BYTES] for start in range(0, size, SCALE_BYTES)]
            scales = [unpack_scale(content, f"record {head.index}") for content in packed]
        return CodedRecord(payload[size:], self._num_codebooks, sum(num_frames)), num_frames, scales


def check_header(header: Header, model: EncodecModel) -> None:
    """Raise EcdcError unless `model` made the stream."""
    if header.model_name != model.name or header.model_identity != short_identity(model):
        raise EcdcError(
            f"the stream was made by model {header.model_name!r} with identity {header.model_identity.hex()}, but the"
            f" model given is {model.name!r} with identity {short_identity(model).hex()}; name the folder of the right"
            " one by --model (in Python: model=)"
        )
    offered = model.config.codebook_choices
    if header.num_codebooks not in offered or header.sample_rate_hz != model.sample_rate:
        raise EcdcError(
            f"header: {header.num_codebooks} codebooks at {header.sample_rate_hz} Hz; model {model.name!r} has"
            f" {', '.join(map(str, offered))} at {model.sample_rate} Hz"
        )
