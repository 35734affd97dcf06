"""The end of a run that has to give way: all ranks after the same step, with a checkpoint of that step."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
        """Spare the loop what Lightning does about SIGTERM at every step.

        The host waits for the device to ask the first rank, and that one alone.
        """
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
        """Leave no communication under way."""
        self._agree.finish()

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.folder / LAST_CHECKPOINT)
        if trainer.is_global_zero:
            mark_preempted(self.folder)


@contextmanager
def taking_signals(trainer: lightning.Trainer) -> Iterator[None]:
    """Have the trainer's `PreemptionCheckpoint`, if it has one, note the signals of this block.

    Lightning is kept from taking SIGTERM: its handler communicates while it interrupts whatever is going on. Blocks can
    be nested; outside of the training loop nobody acts on what is noted.
    """
    with ExitStack() as noting:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, PreemptionCheckpoint):
                noting.enter_context(callback.signals.noted())
                trainer._signal_connector.register_signal_handlers = _do_nothing  # type: ignore[method-assign]
        yield


@contextmanager
def giving_way(trainer: lightning.Trainer, folder: Path) -> Iterator[None]:
    """Around the training: it can be asked to give way, and if it does not, it goes on later only when told to."""
    has_given_way = False
    try:
        with taking_signals(trainer):
            yield
    except PreemptedError:
        has_given_way = True
        raise
    finally:
        if trainer.is_global_zero and not has_given_way:
            unmark_preempted(folder)


def _do_nothing() -> None:
    pass
