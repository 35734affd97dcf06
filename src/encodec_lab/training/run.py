"""One training run of a codec, from its configuration to its checkpoints."""

import copy
from typing import Any

import lightning
from hydra.utils import instantiate
from omegaconf import DictConfig

from encodec_lab.models.config import check_own_name
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.training.codec_module import ADVERSARIAL_LOSSES, CodecTraining
from encodec_lab.training.config import check_arguments
from encodec_lab.training.datamodule import AudioDataModule
from encodec_lab.training.loop import build_trainer, check_module, fit, prepare
from encodec_lab.training.start import start_networks_


def train(config: DictConfig) -> lightning.Trainer:
    """Train what `config` (configs/train.yaml and its groups) describes; returns the trainer after the run.

    Raises:
        ValueError: a setting is missing or impossible, the data cannot be had, or a checkpoint does not fit; before
            any training starts.
        AudioFileError: a ValueError, too many files turn out to be bad on the way.
    """
    preparation = prepare(config)
    codec = instantiate(config.model, _convert_="all")
    try:
        check_own_name(codec.name)
    except ValueError as error:
        raise ValueError(f"model.name={codec.name}: {error}") from error
    data = instantiate(config.data, _convert_="all")
    trainer = build_trainer(config)
    data.trainer = trainer
    data.setup("fit")
    module = build_module(config, preparation.values, codec, starts_anew=preparation.checkpoint is None)
    _check_crops(data, module)
    fit(trainer, module, data, preparation)
    return trainer


def build_module(
    config: DictConfig, values: dict[str, Any], codec: EncodecModel, starts_anew: bool
) -> CodecTraining:
    """The training of `codec`.

    Args:
        config: the whole configuration.
        values: the same resolved.
        codec: as built from `config.model`.
        starts_anew: whether there is no checkpoint that all weights will come from.

    Raises:
        ValueError: a setting is unknown or impossible.
    """
    discriminator = None
    if config.discriminator.get("_target_"):
        discriminator = instantiate(config.discriminator, _convert_="all")
    balancer = copy.deepcopy(values["losses"]["balancer"])
    if discriminator is None:
        for name in ADVERSARIAL_LOSSES:
            balancer["weights"].pop(name, None)
    start_networks_(
        codec,
        discriminator,
        start=config.start,
        init_from=config.init_from if starts_anew else None,
        discriminator_settings=values["discriminator"],
    )
    parts = {
        "codec": codec,
        "discriminator": discriminator,
        "reconstruction_losses": instantiate(config.losses.reconstruction, _convert_="all"),
        "balancer": instantiate(balancer, _convert_="all"),
        "commitment_weight": config.losses.commitment_weight,
        "generator_optimizer": instantiate(config.generator_optimizer, _convert_="all"),
        "discriminator_optimizer": instantiate(config.discriminator_optimizer, _convert_="all"),
        "run_config": values,
    }
    build = instantiate(config.codec_training, _partial_=True, _convert_="all")
    check_arguments("codec_training", build.func, build.keywords | parts)
    module: CodecTraining = build(**parts)
    check_module(module)
    if config.compile:  # in place: the names of the weights stay
        codec.encoder.compile()
        codec.decoder.compile()
    return module


def _check_crops(data: AudioDataModule, module: CodecTraining) -> None:
    """Raise ValueError unless the crops are long enough for every loss, and not longer than the codec's segments."""
    judges = [module.discriminator, *module.reconstruction_losses.values()]
    shortest = max(int(getattr(judge, "min_length_samples", 1)) for judge in judges)
    longest = module.codec.segment_length or data.crop_samples
    if not shortest <= data.crop_samples <= longest:
        raise ValueError(
            f"data.crop_s gives crops of {data.crop_samples} samples: the losses need at least {shortest}"
            + (f", the codec's segments hold {longest}" if module.codec.segment_length else "")
        )
