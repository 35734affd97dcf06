"""What the networks of a run start from: weights drawn at random, or those of an earlier run."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from encodec_lab.discriminators.ms_stft import MultiScaleStftDiscriminator
from encodec_lab.models.config import CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.registry import load_model
from encodec_lab.modules.initialization import preserve_discriminated_signal_, preserve_signal_
from encodec_lab.modules.transform_start import start_as_block_transform_
from encodec_lab.modules.vocoder_start import start_as_transform_vocoder_
from encodec_lab.training.trained_codec import TrainedCodec, load_trained_codec

STARTS = ("signal_preserving", "block_transform", "transform_vocoder", "torch")

_log = logging.getLogger(__name__)


def start_networks_(
    codec: EncodecModel,
    discriminator: MultiScaleStftDiscriminator | None,
    *,
    start: str,
    init_from: str | None,
    discriminator_settings: Mapping[str, Any],
) -> None:
    """Give both networks their first weights.

    Args:
        codec: with the weights that torch drew.
        discriminator: likewise.
        start: how weights are drawn, one of `STARTS`: by `modules.initialization`, the codec's by
            `modules.transform_start` or `modules.vocoder_start`, or as torch has drawn them.
        init_from: a checkpoint of `train.py`, of which the averaged weights are taken, or anything else that
            `load_model` takes; None starts at random. The discriminator takes a checkpoint's weights too, if its
            settings are those of the earlier run, and else starts at random.
        discriminator_settings: the node that `discriminator` was built from.

    Raises:
        ValueError: `init_from` cannot be read, or holds a codec of another architecture; or there is no such start, or
            not for this architecture.
    """
    if start not in STARTS:
        raise ValueError(f"start={start}: use one of {', '.join(STARTS)}")
    trained = None
    if init_from is not None:
        try:
            trained = _start_from_(codec, init_from)
        except ValueError as error:
            raise ValueError(f"init_from={init_from}: {error}") from error
    elif start == "block_transform":
        start_as_block_transform_(codec.encoder, codec.decoder)
    elif start == "transform_vocoder":
        start_as_transform_vocoder_(codec.encoder, codec.decoder)
    elif start == "signal_preserving":
        preserve_signal_(codec)
    if discriminator is None:
        return
    if trained and trained.discriminator and trained.run_config["discriminator"] == discriminator_settings:
        discriminator.load_state_dict(trained.discriminator)
        _log.info("the discriminator, too, starts from %s", init_from)
    elif start != "torch":
        preserve_discriminated_signal_(discriminator, discriminator.leaky_relu_slope)


def _start_from_(codec: EncodecModel, source: str) -> TrainedCodec | None:
    """Load the earlier codec's weights and codebooks; returns the content of a checkpoint."""
    is_checkpoint = Path(source).is_file() and Path(source).suffix != ".th"
    trained = load_trained_codec(source) if is_checkpoint else None
    earlier = load_model(source) if trained is None else trained.codec
    if differences := _differences(earlier.config, codec.config):
        raise ValueError(f"its codec is of another architecture, it differs in {', '.join(differences)}")
    codec.load_state_dict(earlier.state_dict())
    for codebook in codec.quantizer.codebooks:
        if not bool(codebook.inited) or not bool(codebook.cluster_size.any()):
            # Weights of elsewhere may come without statistics; all codes would be found dead at the first step.
            codebook.start(
                codebook.embed.clone(), torch.ones_like(codebook.cluster_size), codec.config.codebook_size
            )
    _log.info("the codec starts from %s%s", source, f", step {trained.step}" if trained else "")
    return trained


def _differences(theirs: CodecConfig, mine: CodecConfig) -> list[str]:
    """What keeps one codec's weights from serving the other; names and lower bandwidths do not."""
    names = [field.name for field in dataclasses.fields(CodecConfig)]
    names = [name for name in names if name not in ("name", "bandwidths")] + ["num_codebooks"]
    return [
        f"{name} ({getattr(theirs, name)} there, {getattr(mine, name)} here)"
        for name in names
        if getattr(theirs, name) != getattr(mine, name)
    ]
