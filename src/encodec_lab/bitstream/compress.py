"""A waveform to a stream of bytes, and back."""

import torch
from torch import Tensor

from encodec_lab.bitstream import v0
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.registry import list_model_names, load_named_model
from encodec_lab.types import EcdcError, EncodedFrame


def compress(model: EncodecModel, wav: Tensor, use_lm: bool = False, format: str | None = None) -> bytes:
    """Compress a waveform at the model's current bandwidth.

    Args:
        model: the codec; it encodes on its own device.
        wav: [C, T] at the model's rate and with its channels (`convert_audio` makes it so).
        use_lm: entropy code with the model's language model.
        format: layout of the bytes, "v0" (the reference's `.ecdc`), or None for the model's default.

    Raises:
        ValueError: for a waveform of another shape, empty or not finite, for a format that does not exist, and for
            `use_lm` with a model that has no language model.
    """
    if format not in (None, "v0"):
        raise ValueError(f"format {format!r} is not available; use 'v0' or None")
    if use_lm:
        raise ValueError(f"model {model.name!r} has no language model; compress without it")
    _check_waveform(model, wav)
    with torch.no_grad():
        frames = model.encode(wav[None].to(_device(model)))
    return v0.write_stream(model, wav.shape[-1], frames)


def decompress(
    data: bytes, device: str | torch.device = "cpu", model: EncodecModel | None = None
) -> tuple[Tensor, int]:
    """Decompress a stream to a waveform [C, T] and its sample rate in Hz.

    Args:
        data: the whole stream.
        device: where the model that the stream names is to run, and where the waveform then lies.
        model: the codec to use instead; it must have the name that the stream says, and runs where it is.

    Raises:
        EcdcError: for a stream that is no `.ecdc` of a known version, is damaged or cut, or was made by another or an
            unknown model; the message says what is wrong and where.
        WeightsError: when the stream's model is a published one whose weights are not at hand.
    """
    header, payload_start = v0.read_header(data)
    if header.uses_lm:
        raise EcdcError(
            "header: lm is True: entropy coded with a language model, which this version cannot read"
        )
    if model is None:
        model = load_stream_model(header.model_name).to(device)
    elif model.name != header.model_name:
        raise EcdcError(
            f"the stream was made by model {v0.brief(header.model_name)}, but the model given is {model.name!r}"
        )
    frames = v0.read_frames(data, header, payload_start, model)
    on = _device(model)
    with torch.no_grad():
        placed = [
            EncodedFrame(codes.to(on), None if scale is None else scale.to(on)) for codes, scale in frames
        ]
        wav = model.decode(placed)[0, :, : header.num_samples]
    if not bool(wav.isfinite().all()):
        raise EcdcError(
            "the stream decodes to samples that are not finite: it is damaged, or of another model"
        )
    return wav, model.sample_rate


def load_stream_model(name: str) -> EncodecModel:
    """The model that a stream names, on the CPU; a name out of a stream is never taken for a path.

    Raises:
        EcdcError: no model goes by that name.
        WeightsError: it is a published one whose weights are not at hand.
    """
    if name not in list_model_names():
        raise EcdcError(
            f"the stream was made by model {v0.brief(name)}, which is none of {', '.join(list_model_names())};"
            " name its exported folder by --model (in Python: model=)"
        )
    return load_named_model(name)


def _check_waveform(model: EncodecModel, wav: Tensor) -> None:
    if wav.dim() != 2 or wav.shape[0] != model.channels:
        raise ValueError(f"wav must be [C, T] with C = {model.channels}, got shape {list(wav.shape)}")
    if wav.shape[-1] == 0:
        raise ValueError("wav has no samples; there must be at least one")
    if not wav.is_floating_point():
        raise ValueError(f"wav must hold floating-point samples, got {wav.dtype}")
    if not bool(wav.isfinite().all()):
        raise ValueError("wav must hold finite samples, got NaN or infinity among them")


def _device(model: EncodecModel) -> torch.device:
    return next(model.parameters()).device
