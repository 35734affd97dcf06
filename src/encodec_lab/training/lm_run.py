"""One training run of a language model, from a frozen codec to a folder that holds both."""

import copy
import sys
from collections.abc import Mapping
from typing import Any

import lightning
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import module_identity
from encodec_lab.models.language_model import LMConfig, LMModel
from encodec_lab.models.registry import PUBLISHED_CONFIGS, load_model
from encodec_lab.modules.integer_transformer import longest_past_context
from encodec_lab.training.code_datamodule import CodeDataModule
from encodec_lab.training.config import check_arguments
from encodec_lab.training.lm_export import export_with_lm
from encodec_lab.training.lm_figures import figures_table
from encodec_lab.training.lm_module import LMTraining
from encodec_lab.training.lm_start import start_from_codebooks_
from encodec_lab.training.loop import build_trainer, check_module, fit, prepare
from encodec_lab.training.preemption_checkpoint import taking_signals


def train_lm(config: DictConfig) -> lightning.Trainer:
    """Train what `config` (configs/train_lm.yaml and its groups) describes, and export it; returns the trainer.

    Raises:
        ValueError: a setting is missing or impossible, codec or data cannot be had, a checkpoint does not fit, or the
            place for the export is taken; but for the last, before any training starts.
    """
    preparation = prepare(config)
    codec = load_frozen_codec(preparation.values["codec"], preparation.values["name"])
    data = _build("data", preparation.values["data"], codec=codec, codec_source=preparation.values["codec"])
    trainer = build_trainer(config)
    data.trainer = trainer
    data.setup("fit")
    module = build_lm_module(preparation.values, codec, data)
    with taking_signals(trainer):  # after the training, too, of which the end would be lost
        fit(trainer, module, data, preparation)
        _export(trainer, module, codec, data, preparation.values)
    return trainer


def _export(
    trainer: lightning.Trainer,
    module: LMTraining,
    codec: EncodecModel,
    data: CodeDataModule,
    values: Mapping[str, Any],
) -> None:
    """Write codec and language model to the place for the export, and say what the model saves."""
    if module.figures_step != trainer.global_step and data.val_dataloader():
        trainer.validate(module, data, verbose=False)
    if trainer.is_global_zero:
        output = values["output"]
        codes = next(iter(data.train_dataloader())).long().clamp(min=0)  # sequences are filled up with -1
        export_with_lm(output, codec, module, values["codec"], codes)
        print(
            "\n".join(
                [
                    *([figures_table(module.figures)] if module.figures else []),
                    f"codec and language model: {output}",
                ]
            ),
            file=sys.stderr,
            flush=True,
        )


def load_frozen_codec(source: str, name: str | None) -> EncodecModel:
    """The codec that `load_model` knows by `source`, which learns nothing any more, under another name if one is given.

    Raises:
        ValueError: there is no such codec, or it goes by a published model's name, which no export may have.
    """
    try:
        codec = load_model(source)
    except ValueError as error:
        raise ValueError(f"codec={source}: {error}") from error
    codec.name = name or codec.name
    if codec.name in PUBLISHED_CONFIGS:
        raise ValueError(
            f"streams of a codec named {codec.name} would be decoded with Meta's language model; give another name=…"
        )
    return codec.eval().requires_grad_(False)


def build_lm(
    codec: EncodecModel, counts: Tensor, past_context_s: float, starts_from_codebooks: bool, **values: Any
) -> LMModel:
    """The language model of the `lm` node, with its first weights.

    Args:
        codec: that it is for.
        counts: [K, V], how often the training recordings hold each code.
        past_context_s: what of the past a layer sees, in seconds.
        starts_from_codebooks: see `start_from_codebooks_`.
        values: the fields of `LMConfig` that neither the codec nor these decide.

    Raises:
        ValueError: a field is unknown, missing or impossible.
    """
    decided = {
        "num_codebooks": codec.config.num_codebooks,
        "codebook_size": codec.config.codebook_size,
        "past_context_frames": int(past_context_s * codec.frame_rate),
    }
    if taken := sorted(decided.keys() & values.keys()):
        raise ValueError(f"lm.{taken[0]} is decided by the codec and lm.past_context_s; leave it out")
    config = LMConfig.from_dict(decided | values)
    longest = longest_past_context(config.dim // config.num_heads)
    if config.past_context_frames > longest:  # or the export would fail, after hours
        raise ValueError(
            f"lm.past_context_s={past_context_s} makes {config.past_context_frames} frames of past context; exact"
            f" integers allow {longest}"
        )
    lm = LMModel(config)
    if starts_from_codebooks:
        start_from_codebooks_(lm, [codebook.embed for codebook in codec.quantizer.codebooks], counts)
    return lm


def build_lm_module(values: Mapping[str, Any], codec: EncodecModel, data: CodeDataModule) -> LMTraining:
    """The training of a language model for `codec`, on `data` that are set up; ValueError for impossible settings."""
    frozen_codec = {"name": codec.name, "identity": module_identity(codec)}
    settings = dict(values["lm_training"])
    max_position_s = settings.pop("max_position_s")
    num_offsets = 1 + round(max_position_s * codec.frame_rate) - data.sequence_frames
    if num_offsets < 1:
        raise ValueError(
            f"lm_training.max_position_s={max_position_s} is shorter than a sequence, data.sequence_s"
        )
    module: LMTraining = _build(
        "lm_training",
        settings,
        lm=_build("lm", values["lm"], codec=codec, counts=data.train_counts),
        codec=codec.config,
        train_counts=data.train_counts,
        optimizer=instantiate(copy.deepcopy(values["optimizer"]), _convert_="all"),
        num_offsets=num_offsets,
        run_config=dict(values) | {"frozen_codec": frozen_codec},
    )
    check_module(module)
    return module


def _build(group: str, node: Mapping[str, Any], **parts: Any) -> Any:
    """What a config group describes, with parts that no YAML file can hold."""
    build = instantiate(dict(node), _partial_=True, _convert_="all")
    check_arguments(group, build.func, build.keywords | parts)
    return build(**parts)
