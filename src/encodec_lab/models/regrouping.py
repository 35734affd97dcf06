"""Recordings on their way through a codec, joined and divided anew: into other pieces, or into batches of segments."""

import itertools
from collections.abc import Generator, Iterable, Iterator

import torch
from torch import Tensor

Pieces = Generator[Tensor, None, None]


def sizes(limit: int, prompt: bool) -> Iterator[int]:
    """How many things to take at a time: the limit, or for the sake of promptness from an eighth of it up to half."""
    if prompt:
        yield from (size for size in (limit // 8, limit // 4) if size)
        limit = max(1, limit // 2)
    yield from itertools.repeat(limit)


def pieces_of(pieces: Iterable[Tensor], lengths: Iterator[int], axis: int) -> Pieces:
    """The same steps along an axis in pieces of these lengths, but for the last."""
    held: Tensor | None = None
    length = next(lengths)
    for piece in pieces:
        held = piece if held is None else torch.cat([held, piece], dim=axis)
        start = 0
        while held.shape[axis] - start > length:
            yield held.narrow(axis, start, length)
            start += length
            length = next(lengths)
        held = held.narrow(axis, start, held.shape[axis] - start)
    if held is not None:
        yield held


def joined(pieces: Iterable[Tensor], length: int) -> Pieces:
    """Pieces [B, T, C] joined until they have `length` steps or more."""
    held: list[Tensor] = []
    for piece in pieces:
        held.append(piece)
        if sum(part.shape[1] for part in held) >= length:
            yield torch.cat(held, dim=1)
            held = []
    if held:
        yield torch.cat(held, dim=1)


def batches(segments: Iterable[Tensor], batch_sizes: Iterator[int]) -> Iterator[list[Tensor]]:
    """Segments in order, up to so many of one shape at a time."""
    batch: list[Tensor] = []
    size = next(batch_sizes)
    for segment in segments:
        if batch and segment.shape != batch[0].shape:
            yield batch
            batch, size = [], next(batch_sizes)
        batch.append(segment)
        if len(batch) == size:
            yield batch
            batch, size = [], next(batch_sizes)
    if batch:
        yield batch


def time_major(pieces: Iterable[Tensor]) -> Pieces:
    """[B, C, T] as [B, T, C]."""
    for piece in pieces:
        yield piece.transpose(1, 2)
