"""Cutting recordings into segments, and joining decoded segments by triangular overlap-add."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def lengths(num_samples: int, segment_length: int, stride: int) -> Iterator[int]:
    """The samples of each segment that `cut` makes of a recording, in order."""
    for start in range(0, num_samples, stride):
        yield min(segment_length, num_samples - start)


def cut(wav: Tensor, segment_length: int, stride: int) -> list[Tensor]:
    """Segments [B, C, <= segment_length] of [B, C, T] that start every `stride` samples; the last may be shorter.

    A recording of exactly one segment gives two, the second one redundant: as in the reference, whose streams this
    must equal.
    """
    sizes = lengths(wav.shape[-1], segment_length, stride)
    return [wav[..., index * stride : index * stride + size] for index, size in enumerate(sizes)]


def cut_blocks(blocks: Iterable[Tensor], segment_length: int, stride: int) -> Iterator[Tensor]:
    """What `cut` makes of a recording, when it comes in blocks [..., T] of any length; keeps a segment and a block."""
    held: Tensor | None = None
    for block in blocks:
        held = torch.cat([block[..., :0] if held is None else held, block], dim=-1)
        while held.shape[-1] >= segment_length:
            yield held[..., :segment_length]
            held = held[..., stride:]
    while held is not None and held.shape[-1]:
        yield held[..., :segment_length]
        held = held[..., stride:]


def overlap_add(segments: Sequence[Tensor], stride: int) -> Tensor:
    """Join segments [B, C, T_i] that start every `stride` samples: a mean weighted by a triangle over each segment.

    The result ends where the last sample of any segment is. That may be in the last segment but one, when whole frames
    made it longer than what was cut; the reference fails there (at 48 kHz for one length of audio in 300).
    """
    adder = OverlapAdder(stride)
    return torch.cat([*(adder.push(segment) for segment in segments), adder.flush()], dim=-1)


class OverlapAdder:
    """`overlap_add` of segments that come one by one; keeps no more than a segment."""

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._sums: _OverlapSums | None = None

    def push(self, segment: Tensor) -> Tensor:
        """Take the next segment [B, C, T]; the samples [B, C, <= stride] before the start of the one after it.

        Raises:
            ValueError: the segment is longer than the first, or the one before it shorter than a stride.
        """
        length = segment.shape[-1]
        sums = self._sums or _OverlapSums.for_first(segment)
        if length > sums.triangle.shape[0]:
            raise ValueError(
                f"a segment of {length} samples is longer than the first, {sums.triangle.shape[0]}"
            )
        if sums.gap:
            raise ValueError(
                f"a segment of {self._stride - sums.gap} samples, shorter than the stride {self._stride}, "
                "is not the last"
            )
        missing = max(0, length - sums.joined.shape[-1])
        joined = functional.pad(sums.joined, (0, missing))
        weights = functional.pad(sums.weights, (0, missing))
        joined[..., :length] += sums.triangle[:length] * segment
        weights[:length] += sums.triangle[:length]
        self._sums = _OverlapSums(
            sums.triangle,
            joined[..., self._stride :],
            weights[self._stride :],
            gap=max(0, self._stride - joined.shape[-1]),
        )
        return joined[..., : self._stride] / weights[: self._stride]

    def flush(self) -> Tensor:
        """The samples [B, C, T] after the last stride.

        Raises:
            ValueError: there were no segments.
        """
        if self._sums is None:
            raise ValueError("overlap-add takes at least one frame, got none")
        return self._sums.joined / self._sums.weights


@dataclass(frozen=True)
class _OverlapSums:
    """What `OverlapAdder` keeps: of the samples from where the next segment starts.

    Attributes:
        triangle: [length of the first segment] the weights of a segment's samples.
        joined: [B, C, N] weighted sum of the segments so far.
        weights: [N] sum of their weights.
        gap: samples between the end of the last segment and where the next one starts.
    """

    triangle: Tensor
    joined: Tensor
    weights: Tensor
    gap: int

    @classmethod
    def for_first(cls, segment: Tensor) -> "_OverlapSums":
        length = segment.shape[-1]
        ramp = torch.linspace(0, 1, length + 2, device=segment.device, dtype=segment.dtype)[1:-1]
        return cls(0.5 - (ramp - 0.5).abs(), segment[..., :0].detach(), segment.new_zeros(0), gap=0)
