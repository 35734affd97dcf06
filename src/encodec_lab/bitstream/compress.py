"""A waveform to a stream of bytes, and back."""

import io
from typing import BinaryIO

import torch
from torch import Tensor

from encodec_lab.bitstream.byte_source import ReadableBytes
from encodec_lab.bitstream.stream_reader import StreamReader
from encodec_lab.bitstream.stream_writer import check_format, write_blocks
from encodec_lab.models.encodec import EncodecModel


def compress(model: EncodecModel, wav: Tensor, use_lm: bool = False, format: str | None = None) -> bytes:
    """Compress a waveform at the model's current bandwidth.

    Args:
        model: the codec; it encodes on its own device.
        wav: [C, T] at the model's rate and with its channels (`convert_audio` makes it so).
        use_lm: entropy code with the model's language model, `model.get_lm_model()`.
        format: layout of the bytes: "v0", the reference's `.ecdc`; "v1", ours, with checks and the identity of the
            model; None for the model's default, v0 for Meta's models and v1 for all others.

    Raises:
        ValueError: for a waveform of another shape, empty or not finite, for a format that does not exist, and for
            `use_lm` with a model that has no language model, or one for another codec or format.
        WeightsError: a ValueError, when Meta's language model is asked for and cannot be had.
    """
    stream = io.BytesIO()
    compress_to_file(model, wav, stream, use_lm, format)
    return stream.getvalue()


def compress_to_file(
    model: EncodecModel, wav: Tensor, file: BinaryIO, use_lm: bool = False, format: str | None = None
) -> None:
    """Write what `compress` gives to an open file."""
    check_format(format)
    _check_waveform(model, wav)
    write_blocks(file, model, [wav], use_lm=use_lm, format=format)


def decompress(
    data: bytes, device: str | torch.device = "cpu", model: EncodecModel | None = None
) -> tuple[Tensor, int]:
    """Decompress a stream to a waveform [C, T] and its sample rate in Hz.

    Args:
        data: the whole stream.
        device: where the model that the stream names is to run, and where the waveform then lies.
        model: the codec to use instead; it must be the one that made the stream, and runs where it is.

    Raises:
        EcdcError: for a stream that is no `.ecdc` of a known version, is damaged or cut, was made by another or an
            unknown model, or needs a language model that the model has not; the message says what is wrong and where.
        WeightsError: when the stream's model is a published one whose weights are not at hand.
    """
    return decompress_from_file(io.BytesIO(data), device, model)


def decompress_from_file(
    file: ReadableBytes, device: str | torch.device = "cpu", model: EncodecModel | None = None
) -> tuple[Tensor, int]:
    """As `decompress`, from a file, pipe or socket open for reading bytes, which may come in any pieces."""
    reader = StreamReader(file, device, model)
    return torch.cat(list(reader.pieces()), dim=-1), reader.model.sample_rate


def _check_waveform(model: EncodecModel, wav: Tensor) -> None:
    if wav.dim() != 2 or wav.shape[0] != model.channels:
        raise ValueError(f"wav must be [C, T] with C = {model.channels}, got shape {list(wav.shape)}")
    if wav.shape[-1] == 0:
        raise ValueError("wav has no samples; there must be at least one")
    if not wav.is_floating_point():
        raise ValueError(f"wav must hold floating-point samples, got {wav.dtype}")
    if not bool(wav.isfinite().all()):
        raise ValueError("wav must hold finite samples, got NaN or infinity among them")
