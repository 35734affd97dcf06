"""The training loop that codec and language model share: a trainer, its checkpoints, and the run from start to end."""

import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import wandb
from hydra.utils import instantiate
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from encodec_lab.data.audio_file import AudioFileError
from encodec_lab.models.pretrained import load_torch_file
from encodec_lab.training.atomic_checkpoint import AtomicCheckpointIO
from encodec_lab.training.config import resolved
from encodec_lab.training.local_logger import METRICS_FILE, drop_metrics_from
from encodec_lab.training.preemption import LAST_CHECKPOINT, goes_on
from encodec_lab.training.preemption_checkpoint import giving_way
from encodec_lab.training.safety_net import DivergedError
from encodec_lab.training.slurm_job import task_of_srun
from encodec_lab.training.step_module import StepTraining
from encodec_lab.training.strategy import ReplicaStrategy, let_other_processes_join

_PRECISIONS = ("32", "32-true", "bf16", "bf16-mixed")
_UNSUPPORTED = {
    "gradient_clip_val": "the training step bounds the norm of the gradients itself",
    "gradient_clip_algorithm": "the training step bounds the norm of the gradients itself",
    "accumulate_grad_batches": "every batch is a step; a larger data.batch_size does the same",
    "plugins": "checkpoints are written by its own",
    "strategy": "data-parallel training has its own, which trainer.devices=N calls for",
}


@dataclass(frozen=True)
class Preparation:
    """What is settled before anything is built.

    Attributes:
        values: the configuration as plain values.
        output_dir: where everything of the run goes.
        checkpoint: the file to resume from.
    """

    values: dict[str, Any]
    output_dir: Path
    checkpoint: str | None


def prepare(config: DictConfig) -> Preparation:
    """Resolve the configuration, find the checkpoint to resume from, and seed what is drawn from global generators.

    Raises:
        ValueError: a setting is missing, there is no such checkpoint, or one that would be written over.
    """
    values = resolved(config)
    _quieten()
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    output_dir = Path(config.output_dir)
    checkpoint = find_checkpoint(config.ckpt_path, output_dir)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    return Preparation(values, output_dir, checkpoint)


def fit(
    trainer: lightning.Trainer,
    module: StepTraining,
    data: lightning.LightningDataModule,
    preparation: Preparation,
) -> None:
    """Train `module` from its start, or from the checkpoint, to the end.

    Raises:
        ValueError: the checkpoint does not fit; before anything is written.
        AudioFileError: a ValueError, too many files turn out to be bad on the way.
        DivergedError: likewise, too many steps in a row had to be skipped.
        PreemptedError: the run has to give way, and has been saved.
    """
    values, output_dir, checkpoint = preparation.values, preparation.output_dir, preparation.checkpoint
    first_step = 0 if checkpoint is None else _steps_in(checkpoint, module)
    if trainer.is_global_zero:
        output_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(values), output_dir / "config.yaml")
        drop_metrics_from(output_dir / METRICS_FILE, first_step)
        if (given := values["ckpt_path"]) not in (None, "last", checkpoint):
            print(f"goes on from {checkpoint} (ckpt_path={given} is set aside)", file=sys.stderr, flush=True)
    if trainer.is_global_zero and trainer.strategy.launcher is not None:
        let_other_processes_join()
    try:
        with giving_way(trainer, output_dir):
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except (AudioFileError, DivergedError):
        raise
    except ValueError as error:  # not the user's mistake: those are told before
        raise RuntimeError("the training failed") from error
    finally:
        if any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
            wandb.finish()  # else the next run of a sweep would go on with this one's


def check_module(module: StepTraining) -> None:
    """Make the optimizers and ask the schedule once; ValueError if their settings do not allow it."""
    try:
        module.configure_optimizers()
        module.schedule(0)
    except TypeError as error:
        raise ValueError(f"the optimizers or the schedule cannot be made: {error}") from error


def build_trainer(config: DictConfig) -> lightning.Trainer:
    """The trainer of `config.trainer`, with its loggers and callbacks.

    Raises:
        ValueError: a setting that the training step cannot work with.
    """
    _check_trainer(config.trainer)
    settings: dict[str, Any] = {}
    if _is_distributed(config.trainer):
        settings["strategy"] = ReplicaStrategy()
    trainer: lightning.Trainer = instantiate(
        config.trainer,
        default_root_dir=config.output_dir,
        logger=_instantiate_all(config.logger, "logger", Logger),
        callbacks=_instantiate_all(config.callbacks, "callbacks", Callback),
        plugins=_plugins(),
        enable_progress_bar=sys.stderr.isatty(),
        **settings,
        _convert_="all",
    )
    return trainer


def find_checkpoint(ckpt_path: str | None, output_dir: Path) -> str | None:
    """The file to resume from: none, the one given, or for "last" the newest of this output_dir.

    A run that was interrupted goes on from the newest, even if it was given another one to begin with.

    Raises:
        ValueError: there is no such file; or a job of SLURM, whose folder may have been named after it, would write
            over another run.
    """
    if goes_on(output_dir):
        ckpt_path = "last"
    last = output_dir / LAST_CHECKPOINT
    if ckpt_path is None:
        if task_of_srun() is not None and last.exists():
            raise ValueError(
                f"{output_dir} holds another run's {LAST_CHECKPOINT}: ckpt_path=last goes on with it, "
                "hydra.run.dir=… names another folder"
            )
        return None
    path = last if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        raise ValueError(
            f"ckpt_path={ckpt_path}: there is no file {path}"
            + ("; give the folder of the run to resume as hydra.run.dir=…" if ckpt_path == "last" else "")
        )
    return str(path)


def _plugins() -> list[Any]:
    """Checkpoints that are atomic, and under SLURM its ranks without Lightning's own requeueing."""
    slurm = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return [AtomicCheckpointIO(), *slurm]


def _steps_in(checkpoint: str, module: StepTraining) -> int:
    """The step of a checkpoint that `module` can continue.

    Raises:
        ValueError: it cannot.
    """
    try:
        content = load_torch_file(checkpoint)
    except ValueError as error:
        raise ValueError(f"ckpt_path={checkpoint}: {error}") from error
    module.check_continues(content)
    step = content.get("global_step") if isinstance(content, dict) else None
    if not isinstance(step, int):
        raise ValueError(f"ckpt_path={checkpoint}: the checkpoint does not say of which step it is")
    return step


def _check_trainer(trainer: DictConfig) -> None:
    """Raise ValueError for settings that the training step cannot work with."""
    if str(trainer.precision) not in _PRECISIONS:
        raise ValueError(
            f"trainer.precision={trainer.precision}: codebooks and losses are of single precision, and the balanced "
            "gradients go through no loss scaler, which float16 needs; choose bf16-mixed or 32-true"
        )
    for name, reason in _UNSUPPORTED.items():
        if trainer.get(name) is not None:
            raise ValueError(f"trainer.{name}={trainer[name]} is not supported: {reason}; leave it out")


def _is_distributed(trainer: DictConfig) -> bool:
    """Whether these trainer settings ask for more than one process.

    Raises:
        ValueError: they are no numbers.
    """
    devices = trainer.devices
    if devices in ("auto", -1, "-1"):
        devices = max(1, torch.cuda.device_count()) if trainer.accelerator in ("auto", "gpu", "cuda") else 1
    num_devices = len(devices) if OmegaConf.is_list(devices) else _count("devices", devices)
    return num_devices * _count("num_nodes", trainer.num_nodes) > 1


def _count(name: str, value: object) -> int:
    if not str(value).isdecimal() or int(str(value)) < 1:
        wanted = "a number of 1 or more" + (
            ", or a list as in trainer.devices=[0,1]" if name == "devices" else ""
        )
        raise ValueError(f"trainer.{name}={value}: give {wanted}")
    return int(str(value))


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
