"""A codec written in any format that is known, and checked before it appears at its place."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encodec_lab.compat.audiocraft import is_audiocraft_checkpoint, read_audiocraft
from encodec_lab.compat.lm_conversion import convert_lm
from encodec_lab.compat.onnx_export import check_onnx, write_onnx
from encodec_lab.data.atomic_folder import atomic_folder
from encodec_lab.models.config import check_own_name
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import CARD_FILE, read_export, write_export
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.models.registry import load_model
from encodec_lab.models.transformers_folder import read_transformers, write_transformers

# `folder` is our own (models/export_folder.py).
FORMATS = ("folder", "transformers", "onnx")


def write_format(
    output: str | Path,
    codec: EncodecModel,
    format: str,
    provenance: Mapping[str, Any],
    model_card: str,
    bandwidth: float | None = None,
) -> None:
    """Write `codec` as the folder `output`: beside it, read back, compared with the codec, and only then renamed.

    Args:
        output: its place; an earlier export of format `folder` is replaced by another, anything else is left alone.
        codec: the language model at hand goes along into a `folder`.
        format: one of `FORMATS`.
        provenance: for `folder`, see `write_export`.
        model_card: Markdown; for `folder` and `transformers`.
        bandwidth: for `onnx`, see `write_onnx`.

    Raises:
        ValueError: no such format; a bandwidth for another format than onnx; the name is a published model's
            (`folder`); the format cannot express the codec; the place is taken; or what was written gives something
            else.
    """
    check_format(format, bandwidth)
    if format == "folder":
        write_export(
            output,
            codec,
            provenance,
            model_card,
            codec.lm_source.lm,
            check=lambda staged: check_same_output(codec, read_export(staged)),
        )
        return
    with atomic_folder(output) as staged:
        if format == "onnx":
            write_onnx(staged, codec, bandwidth)
            check_onnx(staged, codec)
        else:
            write_transformers(staged, codec)
            (staged / CARD_FILE).write_text(model_card, encoding="utf-8")
            check_same_output(codec, read_transformers(staged, codec.name))


def check_format(format: str, bandwidth: float | None) -> None:
    """ValueError unless there is such a format, and a bandwidth is given for the one that takes it."""
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    if bandwidth is not None and format != "onnx":
        raise ValueError(f"bandwidth={bandwidth:g} is for format=onnx; format={format} holds all bandwidths")


def convert_model(
    model: str | Path,
    output: str | Path,
    format: str,
    name: str | None = None,
    bandwidth: float | None = None,
    lm: bool = False,
) -> EncodecModel:
    """Write a model that there is in another format, and return it.

    Args:
        model: what `load_model` takes (folders of `transformers` among it), or a compression checkpoint of audiocraft.
        output: see `write_format`, as for `format` and `bandwidth`.
        name: what streams will call the codec; None to keep its name.
        lm: for `folder`, write the integer form of its language model too, which streams of version 1 take; Meta's is
            fetched. One in floating point that lies in a folder of ours goes along as it is otherwise.

    Raises:
        ValueError: there is no such model, it has no language model (`lm`), or see `write_format`.
    """
    check_format(format, bandwidth)
    if lm and format != "folder":
        raise ValueError(f"lm=true is for format=folder; format={format} holds no language model")
    path = Path(model)
    is_theirs = path.is_file() and is_audiocraft_checkpoint(path)
    codec = read_audiocraft(path, name) if is_theirs else load_model(model)
    if format == "folder":
        check_own_name(name or codec.name)  # before the long work
    if lm:
        convert_lm(codec)
    if name is not None:
        codec.config = dataclasses.replace(codec.config, name=name)
    source = path.name if path.exists() else str(model)
    write_format(output, codec, format, {"converted_from": source}, _converted_card(codec, source), bandwidth)
    return codec


@torch.no_grad()
def check_same_output(codec: EncodecModel, reloaded: EncodecModel) -> None:
    """Raise ValueError unless both give the same codes and audio for two seconds of noise at every bandwidth."""
    generator = torch.Generator().manual_seed(0)
    wav = 0.1 * torch.randn(1, codec.channels, 2 * codec.sample_rate, generator=generator)
    for kbps in codec.target_bandwidths:
        outputs: list[list[Tensor]] = []
        for model in (codec, reloaded):
            with model.at_bandwidth(kbps):
                frames = model.encode(wav)
            outputs.append([*(frame.codes for frame in frames), model.decode(frames)])
        if not all(torch.equal(mine, theirs) for mine, theirs in zip(*outputs, strict=True)):
            raise ValueError(
                f"the reloaded export of {codec.name} differs from what was exported at {kbps:g} kbps"
            )


def _converted_card(codec: EncodecModel, source: str) -> str:
    bandwidths = ", ".join(f"{kbps:g}" for kbps in codec.target_bandwidths)
    has_integer_lm = isinstance(codec.lm_source.lm, IntegerLM)
    return (
        f"# {codec.name}\n\nAn EnCodec (arXiv 2210.13438) codec, converted by encodec-lab from `{source}`.\n\n"
        f"- audio: {codec.sample_rate} Hz, {'mono' if codec.channels == 1 else 'stereo'}\n"
        f"- bandwidths: {bandwidths} kbps\n"
        + ("- language model: in integers, for streams of version 1\n" if has_integer_lm else "")
    )
