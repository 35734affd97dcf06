"""Codes to bytes and back with an integer language model; `code_payload` has what all coders do."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from encodec_lab.bitstream.code_payload import CodedRecord
from encodec_lab.entropy.range_coder import RangeDecoder, coded_size_bounds, range_encode
from encodec_lab.models.identity import short_identity
from encodec_lab.models.integer_lm import FREQUENCY_TABLE, IntegerLM
from encodec_lab.models.integer_lm_stream import IntegerLMStream
from encodec_lab.modules.integer_arithmetic import exact_products

# Codes [K, L].
Codes = NDArray[np.int64]


# Two minutes of records of five seconds. More would decode faster yet, but a pipe is waited for until they have come.
_RECORDS_AT_A_TIME = 24


class IntegerLMCoder:
    """Every code with its table from the language model, frame after frame, codebook after codebook, by range coding.

    Records are independent: language model and range coder begin anew with each. `decode` takes them through the
    language model together, which costs little more than one alone.

    Args:
        lm: on any device.

    Raises:
        InexactError: the language model would not be the same on every machine.
    """

    records_at_a_time = _RECORDS_AT_A_TIME

    def __init__(self, lm: IntegerLM) -> None:
        lm.prepare()
        self._lm = lm
        self.lm_identity: bytes | None = short_identity(lm)

    def encode(self, records: Sequence[Codes]) -> list[bytes]:
        """The bytes of each record's codes [K, L]; ValueError if a code is none of the codebook's."""
        return [self._encode(codes) for codes in records]

    def decode(self, records: Sequence[CodedRecord]) -> list[Codes]:
        """The codes [K, L] of each record, all records in lockstep.

        Raises:
            ValueError: the content of a record is not such codes (CorruptDataError), or the model has fewer codebooks.
        """
        self._lm.prepare()
        by_codebooks: defaultdict[int, list[int]] = defaultdict(list)
        for place, record in enumerate(records):
            by_codebooks[record.num_codebooks].append(place)
        decoded: dict[int, Codes] = {}
        with exact_products(self._lm.embedding.device):
            for num_codebooks, places in by_codebooks.items():
                places.sort(
                    key=lambda place: -records[place].num_frames
                )  # one that has ended leaves the batch
                streams = [(records[place].content, records[place].num_frames) for place in places]
                decoded.update(zip(places, self._decode_lockstep(streams, num_codebooks), strict=True))
        return [decoded[place] for place in range(len(records))]

    def size_bounds(self, num_codebooks: int, num_frames: int) -> tuple[int, int]:
        """The fewest and the most bytes that `encode` gives."""
        others = self._lm.config.codebook_size - 1
        largest = FREQUENCY_TABLE.peak / (FREQUENCY_TABLE.peak + others)
        smallest = 1 / (FREQUENCY_TABLE.peak * others + 1)
        return coded_size_bounds(num_codebooks * num_frames, largest, smallest)

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
        lm = self._lm
        device = lm.embedding.device
        groups = lm.groups(num_codebooks)
        lengths = [num_frames for _, num_frames in streams]
        decoders = [RangeDecoder(data) for data, _ in streams]
        codes = np.zeros((len(streams), lengths[0], num_codebooks), dtype=np.int64)
        stream = IntegerLMStream(lm, len(streams))
        indices = torch.zeros(len(streams), num_codebooks, dtype=torch.int64, device=device)
        for frame in range(lengths[0]):
            while lengths[-1] <= frame:
                decoders.pop().finish()
                lengths.pop()
            if len(lengths) < len(indices):
                stream.keep(len(lengths))
                indices = indices[: len(lengths)]
            latent = stream.advance(indices)
            for group in groups:
                pulled = _pull(decoders, lm.cumulative(latent, group))
                codes[: len(lengths), frame, slice(*group)] = pulled
                latent = lm.condition(latent, group, torch.from_numpy(pulled).to(device))
            indices = 1 + torch.from_numpy(codes[: len(lengths), frame]).to(device)
        for decoder in decoders:
            decoder.finish()
        return [codes[place, :num_frames].T for place, (_, num_frames) in enumerate(streams)]


def _pull(decoders: list[RangeDecoder], cumulative: torch.Tensor) -> Codes:
    """One code [R, group] from each stream with each of its tables [R, group, V]."""
    num_streams, num_tables, size = cumulative.shape
    sizes = [size] * num_tables
    flat = cumulative.cpu().numpy().reshape(-1).data
    step = num_tables * size
    return np.array(
        [decoder.pull(flat[row * step : (row + 1) * step], sizes) for row, decoder in enumerate(decoders)],
        dtype=np.int64,
    )
