"""A callback that has a run sent signals at given steps; `train.py` finds it through PYTHONPATH."""

import os
import signal
from collections.abc import Mapping
from typing import Any

import lightning


class SignalsAtSteps(lightning.Callback):
    """Sends this process the signal of `signals` at the start of its step, if it is of this rank."""

    def __init__(self, signals: Mapping[int, str], rank: int) -> None:
        self.signals = dict(signals)
        self.rank = rank

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_rank == self.rank and trainer.global_step in self.signals:
            os.kill(os.getpid(), signal.Signals[self.signals[trainer.global_step]])
