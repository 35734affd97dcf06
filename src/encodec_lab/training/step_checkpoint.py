"""Checkpoints by generator step."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from encodec_lab.training.step_module import ends_validation_interval


class StepCheckpoint(ModelCheckpoint):
    """Lightning's checkpoints every so many steps, with `last.ckpt` also of the step at which the run ends."""

    def __init__(self, folder: str | Path, every_n_steps: int, **options: Any) -> None:
        super().__init__(
            folder,
            filename="step_{step:07d}",
            auto_insert_metric_name=False,
            every_n_train_steps=every_n_steps,
            save_last=True,
            enable_version_counter=False,  # last.ckpt is the newest, whatever lay in the folder before
            save_on_train_epoch_end=False,
            **options,
        )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if it is time and no validation follows: that would change what a resumed run logs."""
        if not (trainer.val_dataloaders and ends_validation_interval(trainer)):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save if it is time."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            super().on_train_batch_end(trainer, pl_module, None, None, 0)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the end of the run, unless it has just been saved."""
        super().on_train_end(trainer, pl_module)
        if trainer.global_step % self._every_n_train_steps:
            assert self.dirpath is not None
            trainer.save_checkpoint(Path(self.dirpath) / f"{self.CHECKPOINT_NAME_LAST}.ckpt")
