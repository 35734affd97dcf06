"""Callbacks for runs of several processes; `train.py` finds them through PYTHONPATH."""

from pathlib import Path

import lightning
import torch

from encodec_lab.training.gradient_reduction import GradientReduction


class RankStates(lightning.Callback):
    """Writes `folder/RANK.pt` at the end: all weights and buffers, and both optimizers' states."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        state = {
            "module": pl_module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        }
        torch.save(state, self.folder / f"{trainer.global_rank}.pt")


class SmallBuckets(lightning.Callback):
    """Makes the gradients of small networks go through several collectives."""

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        GradientReduction.bucket_bytes = self.num_bytes
