"""Checkpoints that appear whole or not at all, whatever ends the process."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from encodec_lab.data.atomic_file import atomic_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the final name, brings the content to the disk, and renames.

    Lightning's own writes to the system's folder for temporary files and moves from there, which is a copy, and may be
    cut short, where that is another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Save to a local `path`; what an earlier process has left unfinished there is removed."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        for unfinished in path.parent.glob(f".{path.name}.*.part"):
            unfinished.unlink(missing_ok=True)
        with atomic_file(path) as staged, staged.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
