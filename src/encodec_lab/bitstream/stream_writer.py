"""Encoded frames to a stream of any version."""

import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import torch
from torch import Tensor

from encodec_lab.bitstream import v0
from encodec_lab.bitstream.coder_choice import float_lm, make_coder
from encodec_lab.bitstream.record_writer import RecordWriter
from encodec_lab.bitstream.v1_layout import SourceAudio
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.inference import InferenceCodec
from encodec_lab.models.long_audio import WHOLE_S, checked_blocks, encode_blocks
from encodec_lab.models.registry import PUBLISHED_CONFIGS
from encodec_lab.types import EncodedFrame

STREAM_FORMATS = ("v0", "v1")

# Headers and checks are then under 1 % of ten seconds at 6 kbps; a damaged record costs five seconds.
DEFAULT_RECORD_S = 5.0


def default_format(model: EncodecModel) -> str:
    """The reference's for its models, ours for all others."""
    return "v0" if model.name in PUBLISHED_CONFIGS else "v1"


@torch.no_grad()
def write_blocks(
    file: BinaryIO,
    model: EncodecModel,
    blocks: Iterable[Tensor],
    *,
    use_lm: bool = False,
    format: str | None = None,
    source: SourceAudio | None = None,
    source_samples: int = 0,
    record_s: float = DEFAULT_RECORD_S,
    num_threads: int = 1,
) -> None:
    """Compress a recording that comes in blocks, in constant memory but for the codes of version 0.

    Args:
        file: where the stream goes; version 1 is written record by record.
        model: the codec, at the bandwidth to use.
        blocks: [C, T] each, at the model's rate and with its channels, one sample at least in all.
        use_lm: entropy code with the model's language model.
        format: "v0", "v1", or None for the model's default.
        source: what the recording was converted from; version 1 keeps it.
        source_samples: its length in samples per channel, 0 if unknown.
        record_s: length of version 1's records in seconds.
        num_threads: for the codec on a CPU to work in; the stream is the same.

    Raises:
        ValueError: as `compress`.
    """
    check_format(format)
    count = _Counted(blocks)
    is_v0 = (format or default_format(model)) == "v0"
    frames = encode_recording(model, count, num_threads, exact=is_v0)
    if is_v0:
        lm = float_lm(model) if use_lm else None
        whole = _joined(frames) if model.segment_length is None else list(frames)
        file.write(v0.write_stream(model, count.num_samples, whole, lm))
        return
    coder = make_coder(model, use_lm)
    writer = RecordWriter(file, model, coder, source or SourceAudio(), record_s)
    for frame in frames:
        writer.push(frame)
    writer.finish(count.num_samples, source_samples)


def check_format(format: str | None) -> None:
    """Raise ValueError unless there is such a format."""
    if format is not None and format not in STREAM_FORMATS:
        raise ValueError(
            f"format {format!r} is not available; use {', '.join(map(repr, STREAM_FORMATS))} or None"
        )


@torch.no_grad()
def encode_recording(
    model: EncodecModel, blocks: Iterable[Tensor], num_threads: int = 1, exact: bool = False
) -> Iterator[EncodedFrame]:
    """The frames [1, K, L] that a stream holds of a recording, whose blocks are as `write_blocks` takes them.

    On a CPU those of `InferenceCodec`, unless they are to be exactly those of `EncodecModel.encode`, as in version 0,
    which is the reference's byte for byte. A long recording of a codec without segments is never encoded in one go;
    a code may then differ where two entries are equally near but for rounding.
    """
    if model.device.type == "cpu" and not exact:
        yield from _quickly_encoded(model, blocks, num_threads)
        return
    if model.device.type == "cpu" and model.segment_length is not None:
        yield from encode_blocks(model, blocks, num_threads=num_threads)
        return
    iterator = iter(blocks)
    first: list[Tensor] = []
    while sum(block.shape[-1] for block in first) <= WHOLE_S * model.sample_rate:
        block = next(iterator, None)
        if block is None:
            yield from model.encode(torch.cat(first, dim=-1)[None].to(model.device))
            return
        first.append(block)
    rest = itertools.chain(first, iterator)
    if model.device.type == "cpu":
        yield from _quickly_encoded(model, rest, num_threads)
    else:
        yield from encode_blocks(model, rest)


def _quickly_encoded(
    model: EncodecModel, blocks: Iterable[Tensor], num_threads: int
) -> Iterator[EncodedFrame]:
    pieces = (block.unsqueeze(0) for block in checked_blocks(model, blocks))
    return InferenceCodec(model, num_threads).encode_pieces(pieces)


def _joined(frames: Iterable[EncodedFrame]) -> list[EncodedFrame]:
    """One frame with the codes of all."""
    return [EncodedFrame(torch.cat([codes for codes, _ in frames], dim=-1), None)]


class _Counted:
    """Blocks that are counted as they pass.

    Attributes:
        num_samples: how many samples have passed.
    """

    def __init__(self, blocks: Iterable[Tensor]) -> None:
        self._blocks = blocks
        self.num_samples = 0

    def __iter__(self) -> Iterator[Tensor]:
        for block in self._blocks:
            self.num_samples += block.shape[-1]
            yield block
