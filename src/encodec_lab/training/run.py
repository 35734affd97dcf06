"""One training run, from its configuration to its checkpoints."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
import wandb
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from encodec_lab.training.codec_module import CodecTraining
from encodec_lab.training.config import resolved
from encodec_lab.training.datamodule import AudioDataModule
from encodec_lab.training.local_logger import METRICS_FILE, drop_metrics_from
from encodec_lab.training.strategy import ReplicaStrategy


def train(config: DictConfig) -> lightning.Trainer:
    """Train what `config` (configs/train.yaml and its groups) describes; returns the trainer after the run.

    Raises:
        ValueError: a setting is missing or impossible, the data cannot be had, or a checkpoint does not fit; before
            any training starts.
    """
    values = resolved(config)
    _quieten()
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    output_dir = Path(config.output_dir)
    checkpoint = find_checkpoint(config.ckpt_path, output_dir)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    codec = instantiate(config.model, _convert_="all")
    data = instantiate(config.data, _convert_="all")
    trainer = build_trainer(config)
    data.trainer = trainer
    data.setup("fit")
    build_module = instantiate(config.codec_training, _partial_=True, _convert_="all")
    module = build_module(
        codec=codec,
        discriminator=instantiate(config.discriminator, _convert_="all"),
        reconstruction_losses=instantiate(config.losses.reconstruction, _convert_="all"),
        balancer=instantiate(config.losses.balancer, _convert_="all"),
        generator_optimizer=instantiate(config.generator_optimizer, _convert_="all"),
        discriminator_optimizer=instantiate(config.discriminator_optimizer, _convert_="all"),
        run_config=values,
    )
    _check_crops(data, module)
    first_step = 0 if checkpoint is None else _steps_in(checkpoint, module)
    if trainer.is_global_zero:
        output_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(values), output_dir / "config.yaml")
        drop_metrics_from(output_dir / METRICS_FILE, first_step)
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    if any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
        wandb.finish()  # else the next run of a sweep would go on with this one's
    return trainer


def build_trainer(config: DictConfig) -> lightning.Trainer:
    """The trainer of `config.trainer`, with its loggers and callbacks.

    Raises:
        ValueError: a precision that the training step cannot work in.
    """
    if str(config.trainer.precision) in ("16", "16-mixed", "16-true"):
        raise ValueError(
            f"trainer.precision={config.trainer.precision}: the balanced gradients go through no loss scaler, which "
            "float16 needs; choose bf16-mixed or 32-true"
        )
    settings: dict[str, Any] = {}
    if _is_distributed(config.trainer):
        settings["strategy"] = ReplicaStrategy()
    trainer: lightning.Trainer = instantiate(
        config.trainer,
        default_root_dir=config.output_dir,
        logger=_instantiate_all(config.logger, "logger", Logger),
        callbacks=_instantiate_all(config.callbacks, "callbacks", Callback),
        enable_progress_bar=sys.stderr.isatty(),
        **settings,
        _convert_="all",
    )
    return trainer


def find_checkpoint(ckpt_path: str | None, output_dir: Path) -> str | None:
    """The file to resume from: none, the one given, or for "last" the newest of this output_dir.

    Raises:
        ValueError: there is no such file.
    """
    if ckpt_path is None:
        return None
    path = output_dir / "checkpoints" / "last.ckpt" if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        raise ValueError(
            f"ckpt_path={ckpt_path}: there is no file {path}"
            + ("; give the folder of the run to resume as hydra.run.dir=…" if ckpt_path == "last" else "")
        )
    return str(path)


def _check_crops(data: AudioDataModule, module: CodecTraining) -> None:
    """Raise ValueError unless the crops are long enough for every loss, and not longer than the codec's segments."""
    losses = [module.discriminator, *module.reconstruction_losses.values()]
    shortest = max(int(getattr(loss, "min_length_samples", 1)) for loss in losses)
    longest = module.codec.segment_length or data.crop_samples
    if not shortest <= data.crop_samples <= longest:
        raise ValueError(
            f"data.crop_s gives crops of {data.crop_samples} samples: the losses need at least {shortest}"
            + (f", the codec's segments hold {longest}" if module.codec.segment_length else "")
        )


def _steps_in(checkpoint: str, module: CodecTraining) -> int:
    """The generator step of a checkpoint that `module` can continue.

    Raises:
        ValueError: it cannot.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever a damaged file provokes
        raise ValueError(f"ckpt_path={checkpoint} is not a checkpoint of train.py: {error}") from error
    module.check_continues(content)
    return int(content["global_step"])


def _is_distributed(trainer: DictConfig) -> bool:
    """Whether these trainer settings ask for more than one process."""
    devices = trainer.devices
    if devices in ("auto", -1, "-1"):
        devices = max(1, torch.cuda.device_count()) if trainer.accelerator in ("auto", "gpu", "cuda") else 1
    num_devices = len(devices) if OmegaConf.is_list(devices) else int(devices)
    return num_devices * int(trainer.num_nodes) > 1


def _instantiate_all(nodes: DictConfig | None, group: str, kind: type) -> list[Any]:
    """One object for each child of a config group; a child that is null is left out.

    Raises:
        ValueError: a child is something else.
    """
    objects = {}
    for name, node in (nodes or {}).items():
        if node is not None:
            objects[name] = instantiate(node, _convert_="all")
            if not isinstance(objects[name], kind):
                raise ValueError(f"{group}.{name!s} must be a {kind.__name__}, got {objects[name]!r}")
    return list(objects.values())


def _quieten() -> None:
    """Drop Lightning's advice that does not hold here."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # reading a crop takes a millisecond
        ".*exists and is not empty.*",  # so it is when resuming
        ".*no `val_dataloader`. Skipping val loop.*",  # data.valid=null says so, as does the next
        ".*Total length of `list` across ranks is zero.*",
        ".*dirpath has changed from.*",  # a run may be resumed in a folder of its own
        ".*module\\(s\\) in eval mode.*",  # the averaged codec always is
        ".*Using ModelCheckpoint with manual optimization.*",  # the state after the step is the one wanted
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message)
