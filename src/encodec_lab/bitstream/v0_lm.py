"""The codes of one segment in format v0, entropy coded with a language model: byte for byte as the reference.

The model predicts frame by frame, also when compressing, where all frames are known: predictions of many frames at once
differ from these in the last bit, and then so would the bytes.
"""

from array import array
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.entropy.arithmetic_coder import (
    ArithmeticDecoder,
    ArithmeticEncoder,
    UncodableError,
    cumulative_widths,
)


class SteppedLM(Protocol):
    """What v0 asks of a language model: `LMModel`'s and the reference's way to be called."""

    def __call__(self, indices: Tensor, states: Any, offset: int, /) -> tuple[Tensor, Any, int]:
        """[B, K, S] indices, states or None, offset to [B, V, K, S] probabilities, states, offset."""


class _Predictor:
    """A language model's tables for one frame after the other."""

    def __init__(self, lm: SteppedLM, num_codebooks: int, codebook_size: int, device: torch.device) -> None:
        self._lm = lm
        self._shape = (1, codebook_size, num_codebooks, 1)
        self._indices = torch.zeros(1, num_codebooks, 1, dtype=torch.long, device=device)
        self._states: Any = None
        self._offset = 0

    @torch.no_grad()
    def tables(self) -> NDArray[np.int64]:
        """Tables [K, V] of the next frame; ValueError if the language model is not one for these codes."""
        probabilities, self._states, self._offset = self._lm(self._indices, self._states, self._offset)
        if probabilities.shape != self._shape:
            raise ValueError(
                f"the language model gives probabilities of shape {list(probabilities.shape)}, but the codec's"
                f" codes need {list(self._shape)}: it is one for another codec"
            )
        return cumulative_widths(probabilities[0, :, :, 0])

    def append(self, frame: Sequence[int]) -> None:
        """Say what codes [K] the frame really has."""
        self._indices = 1 + torch.tensor(frame, device=self._indices.device).view_as(self._indices)


def encode_codes(lm: SteppedLM, codes: Tensor, codebook_size: int) -> bytes:
    """The bytes of codes [1, K, L], which lie on the language model's device.

    Raises:
        ValueError: the language model has too few codebooks, is for another codebook size, or gives no probabilities;
            or, rarely, the codes are such as the reference writes but cannot read.
    """
    predictor = _Predictor(lm, codes.shape[1], codebook_size, codes.device)
    encoder = ArithmeticEncoder()
    for frame in codes[0].t().tolist():  # [K]
        for table, code in zip(predictor.tables(), frame, strict=True):
            try:
                encoder.push(table, code)
            except UncodableError as error:
                raise ValueError(
                    f"format v0 cannot hold these codes with this language model ({error}): compress without it"
                ) from error
        predictor.append(frame)
    return encoder.finish()


def decode_codes(
    lm: SteppedLM, data: memoryview, shape: tuple[int, int], codebook_size: int, device: torch.device
) -> tuple[Tensor, int]:
    """Codes [1, K, L] of `shape` (K, L), on the CPU, and the number of bytes at the start of `data` that they took.

    Raises:
        CorruptDataError: `data` end too soon, or are not what this language model can have led to.
        ValueError: as `encode_codes`.
    """
    num_codebooks, num_frames = shape
    predictor = _Predictor(lm, num_codebooks, codebook_size, device)
    decoder = ArithmeticDecoder(data)
    codes = array("q")  # grows with what has been decoded: the data may end long before what they claim
    for _ in range(num_frames):
        frame = [decoder.pull(table) for table in predictor.tables()]
        predictor.append(frame)
        codes.extend(frame)
    time_major = torch.from_numpy(np.array(codes)).view(num_frames, num_codebooks)
    return time_major.t()[None].contiguous(), decoder.num_bytes_read
