"""Encoded frames to a stream of the `.ecdc` format version 1; `v1_layout` has the bytes.

Records are written as soon as they are full, so a stream can go into a pipe, in constant memory.
"""

from typing import BinaryIO

import torch

from encodec_lab.bitstream.code_payload import CodeCoder
from encodec_lab.bitstream.record_layout import MAX_RECORD_S, Record, RecordLayout, record_samples_for
from encodec_lab.bitstream.record_order import RecordOrder
from encodec_lab.bitstream.scale import pack_scale
from encodec_lab.bitstream.v1_layout import (
    CHECK_BYTES,
    Header,
    RecordHead,
    SourceAudio,
    pack_header,
    pack_record,
)
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import short_identity
from encodec_lab.types import EncodedFrame


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
        source: SourceAudio,
        record_s: float,
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
            scales = b"".join(pack_scale(scale) for _, scale in parts if scale is not None)
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
