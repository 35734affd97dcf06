"""Cutting recordings into segments, and joining decoded segments by triangular overlap-add."""

import torch
from torch import Tensor


def cut(wav: Tensor, segment_length: int, stride: int) -> list[Tensor]:
    """Segments [B, C, <= segment_length] of [B, C, T] that start every `stride` samples; the last may be shorter.

    A recording of exactly one segment gives two, the second one redundant: as in the reference, whose streams this
    must equal.
    """
    return [wav[..., start : start + segment_length] for start in range(0, wav.shape[-1], stride)]


def overlap_add(segments: list[Tensor], stride: int) -> Tensor:
    """Join segments [B, C, T_i] that start every `stride` samples: a mean weighted by a triangle over each segment.

    The result ends where the last sample of any segment is. That may be in the last segment but one, when whole frames
    made it longer than what was cut; the reference fails there (at 48 kHz for one length of audio in 300).
    """
    first = segments[0]
    length = first.shape[-1]
    total = max(index * stride + segment.shape[-1] for index, segment in enumerate(segments))
    ramp = torch.linspace(0, 1, length + 2, device=first.device, dtype=first.dtype)[1:-1]
    triangle = 0.5 - (ramp - 0.5).abs()
    weights = first.new_zeros(total)
    joined = first.new_zeros(*first.shape[:-1], total)
    for index, segment in enumerate(segments):
        span = slice(index * stride, index * stride + segment.shape[-1])
        weight = triangle[: segment.shape[-1]]
        joined[..., span] += weight * segment
        weights[span] += weight
    return joined / weights
