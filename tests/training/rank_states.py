"""A callback for runs of several processes; `train.py` finds it through PYTHONPATH."""

from pathlib import Path

import lightning
import torch


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
