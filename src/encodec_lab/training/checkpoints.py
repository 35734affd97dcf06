"""When a run is saved."""

from pathlib import Path

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoints(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, which also saves `last.ckpt` when the run ends between two checkpoints."""

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the last step."""
        assert self.dirpath is not None
        if self.save_last:
            trainer.save_checkpoint(Path(self.dirpath) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}")
