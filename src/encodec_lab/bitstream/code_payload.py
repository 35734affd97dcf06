"""Codes to the bytes of records and back."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from encodec_lab.entropy.bit_packing import pack_bits, packed_size, unpack_bits


class CodedRecord(NamedTuple):
    """The coded codes of one record.

    Attributes:
        content: what `CodeCoder.encode` gave for them.
        num_codebooks: K.
        num_frames: L.
    """

    content: bytes
    num_codebooks: int
    num_frames: int


class CodeCoder(Protocol):
    """Codes the codes of records; every record starts anew, so that several can be worked on at once.

    Attributes:
        lm_identity: the first 8 bytes of the hash of the language model's tensors, or None without language model.
        records_at_a_time: how many records are worth being given together.
    """

    lm_identity: bytes | None
    records_at_a_time: int

    def encode(self, records: Sequence[NDArray[np.int64]]) -> list[bytes]:
        """The bytes of each record's codes [K, L]."""
        ...

    def decode(self, records: Sequence[CodedRecord]) -> list[NDArray[np.int64]]:
        """The codes [K, L] of each record; ValueError if the bytes are not theirs."""
        ...

    def size_bounds(self, num_codebooks: int, num_frames: int) -> tuple[int, int]:
        """The fewest and the most bytes that `encode` gives for codes [K, L]."""
        ...


class RawCoder:
    """Every code in as many bits as a codebook needs, time-major."""

    lm_identity: bytes | None = None
    records_at_a_time = 1

    def __init__(self, bits_per_code: int) -> None:
        self._bits_per_code = bits_per_code

    def encode(self, records: Sequence[NDArray[np.int64]]) -> list[bytes]:
        """The bytes of each record's codes [K, L]."""
        return [pack_bits(codes.T.reshape(-1), self._bits_per_code) for codes in records]

    def decode(self, records: Sequence[CodedRecord]) -> list[NDArray[np.int64]]:
        """The codes [K, L] of each record; ValueError if the bytes are not theirs."""
        return [
            unpack_bits(content, self._bits_per_code, num_codebooks * num_frames)
            .reshape(num_frames, num_codebooks)
            .T
            for content, num_codebooks, num_frames in records
        ]

    def size_bounds(self, num_codebooks: int, num_frames: int) -> tuple[int, int]:
        """The fewest and the most bytes that `encode` gives for codes [K, L]."""
        size = packed_size(num_codebooks * num_frames, self._bits_per_code)
        return size, size
