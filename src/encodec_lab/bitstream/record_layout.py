"""How the samples of a recording lie in the records of a stream of version 1."""

import itertools
from dataclasses import dataclass

from encodec_lab.bitstream.v1_layout import RecordHead
from encodec_lab.models import segments
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.streaming import can_stream
from encodec_lab.types import EcdcError, EncodedFrame

MAX_RECORD_S = 60.0


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


class RecordLayout:
    """How the samples of a recording lie in the records of one model's streams.

    Args:
        model: gives hop and segments.
        record_samples: samples of all records but the last, or 0 for a model that must take a recording in one piece.

    Raises:
        EcdcError: such records do not fit the model.
    """

    def __init__(self, model: EncodecModel, record_samples: int) -> None:
        self.record_samples = record_samples
        self._num_frames = model.config.num_frames
        self.segment_length = model.segment_length
        self.unit = model.segment_stride or model.hop_length
        self.overlap = 0 if model.segment_length is None else model.segment_length - self.unit
        longest = _longest_record(model, self.unit)
        if record_samples % self.unit or record_samples > longest:
            raise EcdcError(
                f"header: records of {record_samples} samples; of model {model.name!r} they must be a multiple of"
                f" {self.unit}, {longest} at most"
            )
        if (record_samples == 0) != needs_one_piece(model):
            raise EcdcError(f"header: records of {record_samples} samples do not fit model {model.name!r}")

    @property
    def units_per_record(self) -> int:
        """Segments of a full record, or latent frames for a model without segments."""
        return self.record_samples // self.unit

    def check(self, head: RecordHead) -> None:
        """Raise EcdcError unless a record can have such a number of samples."""
        if self.record_samples == 0:
            fits = head.is_last and head.index == 0 and head.num_samples > 0
        elif head.is_last:
            fits = 0 < head.num_samples <= self.record_samples + self.overlap
        else:
            fits = head.num_samples == self.record_samples
        if not fits:
            raise EcdcError(f"record {head.index}: it claims {head.num_samples} samples, which cannot be")

    def segment_frames(self, num_samples: int, is_last: bool) -> list[int]:
        """Latent frames of every segment in a record, or of the one part of a model without segments."""
        if self.segment_length is None:
            return [self._num_frames(num_samples)]
        if not is_last:
            return [self._num_frames(self.segment_length)] * (num_samples // self.unit)
        sizes = segments.lengths(num_samples, self.segment_length, self.unit)
        needed = itertools.islice(sizes, self.num_needed(num_samples))
        return [self._num_frames(size) for size in needed]

    def num_needed(self, num_samples: int) -> int:
        """How many segments hold all of so many samples; one that holds no others than the one before is not needed."""
        return max(1, -(-(num_samples - self.overlap) // self.unit))


def needs_one_piece(model: EncodecModel) -> bool:
    """Whether a codec takes recordings whole only: it has no segments, and cannot stream either."""
    return model.segment_length is None and not can_stream(model.config)


def record_samples_for(model: EncodecModel, record_s: float) -> int:
    """Samples of a full record of about `record_s` seconds, 0 for a model that takes recordings whole."""
    if needs_one_piece(model):
        return 0
    unit = model.segment_stride or model.hop_length
    return min(_longest_record(model, unit), unit * max(1, round(record_s * model.sample_rate / unit)))


def _longest_record(model: EncodecModel, unit: int) -> int:
    return max(1, int(MAX_RECORD_S * model.sample_rate) // unit) * unit
