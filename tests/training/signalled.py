"""Callbacks that have a run sent signals at given times; `train.py` finds them through PYTHONPATH."""

import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

import lightning
from lightning.pytorch.trainer.states import TrainerFn


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


class SignalAtHook(lightning.Callback):
    """Sends this process a signal at each call of a hook of Lightning's, during the training or after it."""

    def __init__(self, hook: str, number: str, is_after_training: bool = False) -> None:
        def send(trainer: lightning.Trainer, *_: Any) -> None:
            if (trainer.state.fn != TrainerFn.FITTING) == is_after_training:
                os.kill(os.getpid(), signal.Signals[number])

        setattr(self, hook, send)


class TerminatesGroup(lightning.Callback):
    """Has another process send SIGTERM to all processes of this one's group at the start of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            subprocess.run(["sh", "-c", "kill -TERM 0"], check=False)
