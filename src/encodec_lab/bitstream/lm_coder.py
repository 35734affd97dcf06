"""Codes to bytes and back with an integer language model; `code_payload` has what all coders do.

The codes of a record, if it has 150 frames or more, are coded in two halves, the first with the odd frame: then a short
recording, too, has several streams to be decoded in lockstep. The bytes are

    size of the first half's, varint (only of two)
    first half, by `entropy.range_coder`
    second half, likewise

and language model and range coder begin anew with each half.
"""

import io
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from encodec_lab.bitstream.code_payload import CodedRecord
from encodec_lab.entropy.arithmetic_coder import CorruptDataError
from encodec_lab.entropy.range_coder import RangeDecoder, coded_size_bounds, range_encode
from encodec_lab.entropy.varint import MAX_VARINT_BYTES, decode_varint, encode_varint
from encodec_lab.models.identity import module_identity, short_identity
from encodec_lab.models.integer_lm import FREQUENCY_TABLE, IntegerLM
from encodec_lab.models.integer_lm_stream import IntegerLMSteps, IntegerLMStream
from encodec_lab.modules.integer_arithmetic import exact_products

# Codes [K, L].
Codes = NDArray[np.int64]


# Two minutes of records of five seconds. More would decode faster yet, but a pipe is waited for until they have come.
_RECORDS_AT_A_TIME = 24
# Two seconds at 75 frames a second. A half of one second costs the language model 0.2 % of its bits.
_FEWEST_FRAMES_IN_HALVES = 150


class IntegerLMCoder:
    """Every code with its table from the language model, frame after frame, codebook after codebook, by range coding.

    Records are independent, and so are their halves. `decode` takes all of them through the language model together,
    which costs little more than one alone.

    Args:
        lm: on any device.

    Raises:
        InexactError: the language model would not be the same on every machine.
    """

    records_at_a_time = _RECORDS_AT_A_TIME

    def __init__(self, lm: IntegerLM) -> None:
        lm.prepare()
        self._lm = lm
        self._steps: IntegerLMSteps | None = None
        self.lm_identity: bytes | None = short_identity(lm)

    def encode(self, records: Sequence[Codes]) -> list[bytes]:
        """The bytes of each record's codes [K, L]; ValueError if a code is none of the codebook's."""
        contents = []
        for codes in records:
            halves = [self._encode(half) for half in np.split(codes, _borders(codes.shape[1]), axis=1)]
            sizes = [encode_varint(len(half)) for half in halves[:-1]]
            contents.append(b"".join([*sizes, *halves]))
        return contents

    def decode(self, records: Sequence[CodedRecord]) -> list[Codes]:
        """The codes [K, L] of each record, all records in lockstep.

        Raises:
            ValueError: the content of a record is not such codes (CorruptDataError), or the model has fewer codebooks.
        """
        halves = [half for record in records for half in _halves(record)]
        by_codebooks: defaultdict[int, list[int]] = defaultdict(list)
        for place, half in enumerate(halves):
            by_codebooks[half.num_codebooks].append(place)
        decoded: dict[int, Codes] = {}
        with exact_products(torch.device("cpu")):
            for num_codebooks, places in by_codebooks.items():
                places.sort(
                    key=lambda place: -halves[place].num_frames
                )  # one that has ended leaves the batch
                streams = [(halves[place].content, halves[place].num_frames) for place in places]
                decoded.update(zip(places, self._decode_lockstep(streams, num_codebooks), strict=True))
        in_order = iter([decoded[place] for place in range(len(halves))])
        return [
            np.concatenate([next(in_order) for _ in range(1 + len(_borders(record.num_frames)))], axis=1)
            for record in records
        ]

    def size_bounds(self, num_codebooks: int, num_frames: int) -> tuple[int, int]:
        """The fewest and the most bytes that `encode` gives."""
        others = self._lm.config.codebook_size - 1
        largest = FREQUENCY_TABLE.peak / (FREQUENCY_TABLE.peak + others)
        smallest = 1 / (FREQUENCY_TABLE.peak * others + 1)
        borders = _borders(num_frames)
        bounds = [
            coded_size_bounds(num_codebooks * (end - start), largest, smallest)
            for start, end in zip([0, *borders], [*borders, num_frames], strict=True)
        ]
        varints = len(borders) * MAX_VARINT_BYTES
        return sum(fewest for fewest, _ in bounds) + len(borders), sum(most for _, most in bounds) + varints

    def _encode(self, codes: Codes) -> bytes:
        size = self._lm.config.codebook_size
        if codes.size and not (codes.min() >= 0 and codes.max() < size):
            raise ValueError(f"codes must lie in 0...{size - 1}, got {codes.min()}...{codes.max()}")
        if codes.shape[1] == 0:
            return b""
        device = self._lm.embedding.device
        intervals = self._lm.intervals(torch.from_numpy(np.ascontiguousarray(codes)).to(device)[None])
        return range_encode(*(tensor.reshape(-1).tolist() for tensor in intervals))

    def _decode_lockstep(self, streams: list[tuple[bytes, int]], num_codebooks: int) -> list[Codes]:
        """The codes of streams `(data, L)`, longest first."""
        groups = self._lm.groups(num_codebooks)
        lengths = [num_frames for _, num_frames in streams]
        decoders = [RangeDecoder(data) for data, _ in streams]
        codes = np.zeros((len(streams), lengths[0], num_codebooks), dtype=np.int64)
        stream = IntegerLMStream(self._prepared_steps(), len(streams))
        indices = np.zeros((len(streams), num_codebooks), dtype=np.int64)
        for frame in range(lengths[0]):
            while lengths[-1] <= frame:
                decoders.pop().finish()
                lengths.pop()
            if len(lengths) < len(indices):
                stream.keep(len(lengths))
                indices = indices[: len(lengths)]
            stream.advance(indices)
            for group in groups:
                pulled = _pull(decoders, stream.cumulative(group))
                codes[: len(lengths), frame, slice(*group)] = pulled
                stream.condition(group, pulled)
            indices = 1 + codes[: len(lengths), frame]
        for decoder in decoders:
            decoder.finish()
        return [codes[place, :num_frames].T for place, (_, num_frames) in enumerate(streams)]

    def _prepared_steps(self) -> IntegerLMSteps:
        if self._steps is None or self._steps.identity != module_identity(self._lm):
            self._steps = IntegerLMSteps(self._lm)
        return self._steps


def _borders(num_frames: int) -> list[int]:
    """Where the second half of so many frames starts, if there is one."""
    return [(num_frames + 1) // 2] if num_frames >= _FEWEST_FRAMES_IN_HALVES else []


def _halves(record: CodedRecord) -> list[CodedRecord]:
    """The halves of a record, or all of it; CorruptDataError if they do not lie within it."""
    borders = _borders(record.num_frames)
    if not borders:
        return [record]
    content = io.BytesIO(record.content)
    try:
        size = decode_varint(lambda: content.read(1)[0])
    except (ValueError, IndexError):
        raise CorruptDataError("the size of the first half is cut or malformed") from None
    rest = record.content[content.tell() :]
    if size > len(rest):
        raise CorruptDataError(f"the first half claims {size} of {len(rest)} bytes")
    (border,) = borders
    return [
        CodedRecord(rest[:size], record.num_codebooks, border),
        CodedRecord(rest[size:], record.num_codebooks, record.num_frames - border),
    ]


def _pull(decoders: list[RangeDecoder], cumulative: NDArray[np.int64]) -> Codes:
    """One code [R, group] from each stream with each of its tables [R, group, V]."""
    num_streams, num_tables, size = cumulative.shape
    sizes = [size] * num_tables
    flat = cumulative.reshape(num_streams, -1)
    pulled = [decoder.pull(tables.data, sizes) for decoder, tables in zip(decoders, flat, strict=True)]
    return np.array(pulled, dtype=np.int64)
