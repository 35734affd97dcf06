"""Encoded frames to streams of the `.ecdc` format version 1 and back; `v1_layout` has the bytes.

Both directions work on pipes and in constant memory: records are written as soon as they are full, and read one by one.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch

from encodec_lab.bitstream.byte_source import ByteSource
from encodec_lab.bitstream.code_payload import CodeCoder, CodedRecord
from encodec_lab.bitstream.record_layout import MAX_RECORD_S, RecordLayout, record_samples_for
from encodec_lab.bitstream.v1_layout import (
    CHECK_BYTES,
    IDENTITY_BYTES,
    Header,
    RecordHead,
    RecordOrder,
    Source,
    pack_header,
    pack_record,
    read_payload,
    read_record_head,
)
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import module_identity
from encodec_lab.types import EcdcError, EncodedFrame

# Headers and checks are then under 1 % of ten seconds at 6 kbps; a damaged record costs five seconds.
DEFAULT_RECORD_S = 5.0
_SCALE = struct.Struct("!f")


@dataclass(frozen=True)
class Record:
    """What a record holds.

    Attributes:
        index: its place, from 0.
        frames: the encoded frames on the CPU; None if the record is lost.
        num_samples: of the recording, at the model's rate.
        is_last: whether the stream ends with it.
        source_samples: length of the whole source, 0 if unknown or not the last record.
    """

    index: int
    frames: list[EncodedFrame] | None
    num_samples: int
    is_last: bool
    source_samples: int


class RecordWriter:
    """Writes the stream of one recording, frame by frame.

    Args:
        file: where to; the header is written at once.
        model: the codec; its bandwidth must not change meanwhile.
        coder: codes the codes.
        source: what is compressed.
        record_s: about how many seconds go into a record; 60 at most.

    Raises:
        ValueError: no such records are possible, or the model's name is too long for a stream.
    """

    def __init__(
        self,
        file: BinaryIO,
        model: EncodecModel,
        coder: CodeCoder,
        source: Source,
        record_s: float = DEFAULT_RECORD_S,
    ) -> None:
        if not 0 < record_s <= MAX_RECORD_S:
            raise ValueError(f"records must last up to {MAX_RECORD_S:g} s, got {record_s}")
        self._file = file
        self._coder = coder
        self._segmented = model.segment_length is not None
        self._layout = RecordLayout(model, record_samples_for(model, record_s))
        header = Header(
            model_name=model.name,
            model_identity=short_identity(model),
            lm_identity=coder.lm_identity,
            sample_rate_hz=model.sample_rate,
            num_codebooks=model.num_codebooks_for(model.bandwidth),
            record_samples=self._layout.record_samples,
            source=source,
        )
        packed = pack_header(header)
        self._seed = int.from_bytes(packed[-CHECK_BYTES:])
        file.write(packed)
        self._waiting: list[EncodedFrame] = []  # of a model without segments, at most one
        self._num_records = 0
        self._order = RecordOrder(self._seed)
        self._full: list[Record] = []  # records that wait for others, to be coded together

    def push(self, frame: EncodedFrame) -> None:
        """Take the next frame [1, K, L]: a segment, or any part of the codes of a model without segments."""
        frame = EncodedFrame(frame.codes.cpu(), None if frame.scale is None else frame.scale.cpu())
        if self._segmented or not self._waiting:
            self._waiting.append(frame)
        else:
            self._waiting = [
                EncodedFrame(torch.cat([self._waiting[0].codes, frame.codes], dim=-1), frame.scale)
            ]
        # The last record must keep something, and the very last segment may turn out not to be needed.
        self._write_full_records(keep=2 if self._segmented else 1)

    def finish(self, num_samples: int, source_samples: int = 0) -> None:
        """Write what is left as the last record.

        Args:
            num_samples: length of the recording at the model's rate.
            source_samples: length of the source in samples per channel, or 0 if it is not known.
        """
        start = self._num_records * self._layout.record_samples
        if self._segmented:
            self._waiting = self._waiting[: self._layout.num_needed(num_samples - start)]
        self._write_full_records(keep=1)
        start = self._num_records * self._layout.record_samples
        self._add(self._waiting, num_samples - start, is_last=True, source_samples=source_samples)
        self._waiting = []
        self._write_records()

    def _write_full_records(self, keep: int) -> None:
        size = self._layout.units_per_record
        while size and self._num_waiting() >= size + keep:
            if self._segmented:
                full, self._waiting = self._waiting[:size], self._waiting[size:]
            else:
                codes, scale = self._waiting[0]
                full = [EncodedFrame(codes[..., :size], scale)]
                self._waiting = [EncodedFrame(codes[..., size:], scale)]
            self._add(full, self._layout.record_samples, is_last=False)

    def _num_waiting(self) -> int:
        if self._segmented:
            return len(self._waiting)
        return self._waiting[0].codes.shape[-1] if self._waiting else 0

    def _add(
        self, frames: list[EncodedFrame], num_samples: int, is_last: bool, source_samples: int = 0
    ) -> None:
        expected = self._layout.segment_frames(num_samples, is_last)
        found = [frame.codes.shape[-1] for frame in frames]
        assert found == expected, (
            f"frames of lengths {found} for {num_samples} samples, which take {expected}"
        )
        self._full.append(Record(self._num_records, frames, num_samples, is_last, source_samples))
        self._num_records += 1
        if len(self._full) == self._coder.records_at_a_time:
            self._write_records()

    def _write_records(self) -> None:
        frames = [record.frames or [] for record in self._full]
        codes = [
            torch.cat([codes[0] for codes, _ in parts], dim=-1).numpy() for parts in frames
        ]  # [K, L] each
        coded = self._coder.encode(codes)
        for record, parts, content in zip(self._full, frames, coded, strict=True):
            scales = b"".join(_SCALE.pack(scale.item()) for _, scale in parts if scale is not None)
            head = RecordHead(
                record.index,
                record.is_last,
                record.num_samples,
                record.source_samples,
                len(scales + content),
                self._order.check,
            )
            packed = pack_record(head, scales + content, self._seed)
            self._order.add(packed[-CHECK_BYTES:])
            self._file.write(packed)
        self._full = []


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
        self.record_samples = header.record_samples
        self._layout = RecordLayout(model, header.record_samples)
        self.record_samples = header.record_samples

    def records(self) -> Iterator[Record]:
        """All records in order.

        Raises:
            EcdcError: one is damaged, missing or in the wrong place, or the stream is cut or goes on after its end.
        """
        waiting: list[tuple[RecordHead, bytes]] = []
        order = RecordOrder(self._seed)
        while True:
            head, head_bytes = read_record_head(self._source, self._seed, self.record_samples)
            order.expect(head)
            self._check_head(head)
            payload, check = read_payload(self._source, head, head_bytes, self._seed)
            order.add(check)
            waiting.append((head, payload))
            if head.is_last and self._source.at_most(1):
                raise EcdcError(f"the stream goes on after its last record, record {head.index}")
            if head.is_last or len(waiting) == self._coder.records_at_a_time:
                yield from self.decode(waiting)
                waiting = []
            if head.is_last:
                return

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

    def _check_head(self, head: RecordHead) -> None:
        """Raise EcdcError unless a record can be of these sizes; before anything of these sizes is allocated."""
        self._layout.check(head)
        num_frames = self._layout.segment_frames(head.num_samples, head.is_last)
        fewest, most = self._coder.size_bounds(self._num_codebooks, sum(num_frames))
        scales = _SCALE.size * len(num_frames) if self._normalizes else 0
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
        size = _SCALE.size * len(num_frames) if self._normalizes else 0
        scales = [scale for (scale,) in _SCALE.iter_unpack(payload[:size])]
        if not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise EcdcError(f"record {head.index}: a scale is not finite and positive")
        coded = CodedRecord(payload[size:], self._num_codebooks, sum(num_frames))
        if not self._normalizes:
            return coded, num_frames, [None] * len(num_frames)
        return coded, num_frames, [torch.tensor([[scale]]) for scale in scales]


def check_header(header: Header, model: EncodecModel) -> None:
    """Raise EcdcError unless `model` made the stream."""
    if header.model_name != model.name or header.model_identity != short_identity(model):
        raise EcdcError(
            f"the stream was made by model {header.model_name!r} with identity {header.model_identity.hex()}, but the"
            f" model given is {model.name!r} with identity {short_identity(model).hex()}; name the folder of the right"
            " one by --model (in Python: model=)"
        )
    offered = [model.num_codebooks_for(kbps) for kbps in model.target_bandwidths]
    if header.num_codebooks not in offered or header.sample_rate_hz != model.sample_rate:
        raise EcdcError(
            f"header: {header.num_codebooks} codebooks at {header.sample_rate_hz} Hz; model {model.name!r} has"
            f" {', '.join(map(str, offered))} at {model.sample_rate} Hz"
        )


def short_identity(module: torch.nn.Module) -> bytes:
    """What streams call a model besides its name: the first 8 bytes of the hash of its tensors."""
    return bytes.fromhex(module_identity(module))[:IDENTITY_BYTES]
