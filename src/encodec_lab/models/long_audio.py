"""Recordings of any length in constant memory: blocks of samples to encoded frames, and back.

    frames = encode_blocks(model, AudioBlocks("concert.flac", model.sample_rate, model.channels, block_s=5.0))
    for piece in decode_frames(model, frames):  # [C, T]; joined, what model.decode gives for the whole
        ...

A codec that can stream takes the blocks one by one, one with segments cuts its segments across them. A codec that does
neither (it is not causal, or scales by the RMS of the whole recording) needs the whole recording at once: there, and
only there, memory grows with its length. What can be told after a block comes out after it; for files on a CPU, where
nobody waits for single blocks, `inference.InferenceCodec` is faster.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.ordered_workers import mapped
from encodec_lab.models.segments import OverlapAdder, cut_blocks
from encodec_lab.models.streaming import can_stream
from encodec_lab.types import EncodedFrame

Item = TypeVar("Item")

# Recordings up to this length are encoded and decoded in one go, as the reference does; longer ones in pieces, in
# constant memory.
WHOLE_S = 30.0

# On a CPU segments are coded one by one: a batch is no faster there (measured on one core), and would change last bits,
# so that codes could differ from those of `model.encode` at near ties. On a GPU eight at a time are worth that.
_SEGMENTS_AT_A_TIME_CPU = 1
_SEGMENTS_AT_A_TIME_GPU = 8
# Some seconds: as fast as all at once, whatever the length of a frame that comes out of a stream.
_LATENT_FRAMES_AT_A_TIME = 400


@torch.no_grad()
def encode_blocks(
    model: EncodecModel, blocks: Iterable[Tensor], batch_size: int | None = None, num_threads: int = 1
) -> Iterator[EncodedFrame]:
    """Encode a recording that comes in blocks [C, T], T >= 0, at the bandwidth that is in use all the while.

    Args:
        model: blocks are moved to its device; the frames lie there.
        blocks: at the model's rate, with its channels; memory grows with their length.
        batch_size: segments to encode at a time, or None for 1 on a CPU and 8 elsewhere.
        num_threads: that encode segments side by side; the frames are the same.

    Yields:
        Frames of B = 1. From a codec with segments the same ones as `model.encode` gives for the whole. From one that
        can stream the codes [1, K, L] that a block completes, L > 0; joined they are `model.encode`'s one frame (see
        `StreamingEncoder` about near ties). From any other codec the one frame of the whole.

    Raises:
        ValueError: a block of another shape, or no samples in all.
    """
    checked = checked_blocks(model, blocks)
    if model.segment_length is not None and model.segment_stride is not None:
        segments = cut_blocks(checked, model.segment_length, model.segment_stride)
        batches = _batches(segments, _batch_size(model, batch_size), lambda segment: segment.shape[-1])
        encoded = mapped(batches, lambda batch, _: model.encode_segment(torch.stack(batch)), num_threads)
        for codes, scale in encoded:
            for item in range(codes.shape[0]):
                yield EncodedFrame(codes[item, None], None if scale is None else scale[item, None])
    elif can_stream(model.config):
        encoder = model.streaming_encoder()
        for block in checked:
            codes = encoder.push(block.unsqueeze(0))
            if codes.shape[-1]:
                yield EncodedFrame(codes, None)
        codes = encoder.flush()
        if codes.shape[-1]:
            yield EncodedFrame(codes, None)
    else:
        yield from model.encode(torch.cat(list(checked), dim=-1).unsqueeze(0))


@torch.no_grad()
def decode_frames(
    model: EncodecModel,
    frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]],
    batch_size: int | None = None,
) -> Iterator[Tensor]:
    """Decode frames as `encode_blocks` gives them (B = 1) to pieces [C, T], T > 0, of seconds at most.

    Joined, the pieces are what `model.decode` gives for the whole (but for rounding); they end with the last whole
    frame, up to a hop beyond the recording. The codes of a codec that can stream may be divided into frames anyhow.

    Args:
        model: frames are moved to its device; the pieces lie there.
        frames: all of one recording.
        batch_size: segments to decode at a time, or None for 1 on a CPU and 8 elsewhere.

    Raises:
        ValueError: no frames, or several for a codec that neither can stream nor has segments.
    """
    placed = (
        EncodedFrame(codes.to(model.device), None if scale is None else scale.to(model.device))
        for codes, scale in frames
    )
    if model.segment_stride is not None:
        pieces = _decode_segments(model, placed, model.segment_stride, _batch_size(model, batch_size))
    elif can_stream(model.config):
        pieces = _decode_stream(model, placed)
    else:
        pieces = iter([model.decode(list(placed))])
    for piece in pieces:
        if piece.shape[-1]:
            yield piece[0]


def _decode_segments(
    model: EncodecModel, frames: Iterable[EncodedFrame], stride: int, batch_size: int
) -> Iterator[Tensor]:
    adder = OverlapAdder(stride)
    for batch in _batches(frames, batch_size, lambda frame: frame.codes.shape[-1]):
        scales = [frame.scale for frame in batch if frame.scale is not None]
        codes = torch.cat([frame.codes for frame in batch])
        decoded = model.decode_segment(codes, torch.cat(scales) if scales else None)
        for segment in decoded.unsqueeze(1):
            yield adder.push(segment)
    yield adder.flush()


def _decode_stream(model: EncodecModel, frames: Iterable[EncodedFrame]) -> Iterator[Tensor]:
    decoder = model.streaming_decoder()
    for frame in frames:
        for codes in torch.split(frame.codes, _LATENT_FRAMES_AT_A_TIME, dim=-1):
            yield decoder.push(codes)
    rest = decoder.flush()
    if rest.shape[0] == 0:
        raise ValueError(f"{model.name} decodes at least one frame, got none")
    yield rest


def _batch_size(model: EncodecModel, asked: int | None) -> int:
    if asked is None:
        return _SEGMENTS_AT_A_TIME_CPU if model.device.type == "cpu" else _SEGMENTS_AT_A_TIME_GPU
    if asked < 1:
        raise ValueError(f"batch_size must be at least 1, got {asked}")
    return asked


def checked_blocks(model: EncodecModel, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """The blocks [C, T] on the model's device; ValueError for one of another shape, or no samples in all."""
    num_samples = 0
    for block in blocks:
        if block.dim() != 2 or block.shape[0] != model.channels:
            raise ValueError(
                f"{model.name} takes blocks of shape [{model.channels}, samples], got {list(block.shape)}; "
                "see convert_audio"
            )
        num_samples += block.shape[-1]
        yield block.to(model.device)
    if num_samples == 0:
        raise ValueError("the recording has no samples; there must be at least one")


def _batches(
    items: Iterable[Item], size: int, length: Callable[[Item], int]
) -> Generator[list[Item], None, None]:
    """Items in order, up to `size` of the same length at a time."""
    batch: list[Item] = []
    for item in items:
        if batch and (len(batch) == size or length(item) != length(batch[0])):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
