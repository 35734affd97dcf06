"""The end of a run that has to give way: all ranks after the same step, with a checkpoint of that step."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint

from encodec_lab.training.preemption import (
    LAST_CHECKPOINT,
    PreemptedError,
    PreemptionSignals,
    Request,
    mark_preempted,
    unmark_preempted,
)
from encodec_lab.training.rank_agreement import DelayedMaximum


class PreemptionCheckpoint(Checkpoint):
    """Ends the run by a `PreemptedError` once any rank has been asked to give way; see `preemption.py`.

    `last.ckpt` is saved at the end of the step. If a validation follows, the run ends after it, so that its scores are
    logged; should the process be killed meanwhile, only they are lost. It is one of Lightning's checkpoint callbacks
    because those come after all others.

    Args:
        folder: the run's.

    Attributes:
        signals: of this process.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.signals = PreemptionSignals()
        self._agreed = Request.NOTHING

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the place of what Lightning does about SIGTERM.

        Its handler communicates while it interrupts whatever is going on, and before every step its loop has the host
        wait for the device to ask the first rank, and that one alone.
        """
        self.signals.take()
        self._agreed = Request.NOTHING
        self._agree = DelayedMaximum(trainer.strategy.root_device)
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _do_nothing  # type: ignore[method-assign]

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Agree on whether to give way, and save if so."""
        if not self._agreed:
            self._agreed = Request(self._agree(self.signals.request))
            if self._agreed:
                self._save(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the step again, as one whose validation is done."""
        if self._agreed and not trainer.sanity_checking:
            self._save(trainer)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Leave: all of the step before has been logged."""
        if self._agreed:
            raise PreemptedError(
                self.folder,
                trainer.global_step,
                max(self._agreed, self.signals.request),
                trainer.is_global_zero,
            )

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The run is complete, and does not go on."""
        self._agree.finish()
        if trainer.is_global_zero:
            unmark_preempted(self.folder)

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.folder / LAST_CHECKPOINT)
        if trainer.is_global_zero:
            mark_preempted(self.folder)


def _do_nothing() -> None:
    pass
