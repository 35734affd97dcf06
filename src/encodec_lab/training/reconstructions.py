"""Audio and spectrogram pictures of fixed validation clips: local files and, where there is one, the wandb run."""

from pathlib import Path
from typing import Any

import lightning
import matplotlib
import numpy as np
import torch
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from encodec_lab.data.audio_file import write_wav
from encodec_lab.training.validation import ValidationClip

matplotlib.use("Agg")

_WINDOW_SAMPLES = 1024
_FLOOR_DB = -90.0


class ReconstructionSamples(lightning.Callback):
    """At every validation writes the first `num_clips` clips of the first rank at every bandwidth.

    `folder/CLIP/original.wav`, `folder/CLIP/step_SSSSSS_KBPSkbps.wav` and `folder/CLIP/step_SSSSSS.png`.
    """

    def __init__(self, folder: str | Path, num_clips: int) -> None:
        self.folder = Path(folder)
        self.num_clips = num_clips

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one clip, if it is among the first."""
        if trainer.is_global_zero and batch_idx < self.num_clips and isinstance(outputs, ValidationClip):
            self._write(outputs, trainer)

    def _write(self, clip: ValidationClip, trainer: lightning.Trainer) -> None:
        folder = (
            self.folder / clip.name
        )  # a path below self.folder: clips of several folders may share file names
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"step_{trainer.global_step:06d}"
        if not (folder / "original.wav").exists():
            write_wav(folder / "original.wav", clip.original, clip.sample_rate_hz)
        for kbps, wav in clip.reconstructions.items():
            write_wav(folder / f"{stem}_{kbps:g}kbps.wav", wav.clamp(-1, 1), clip.sample_rate_hz)
        picture = folder / f"{stem}.png"
        spectrogram_figure(clip).savefig(picture, dpi=90)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                _log_to_wandb(logger, clip, picture, trainer.global_step)


def spectrogram_figure(clip: ValidationClip) -> Figure:
    """Spectrograms (first channel, dB) of the original and, below, of every reconstruction."""
    signals = {"original": clip.original}
    signals |= {f"{kbps:g} kbps": wav for kbps, wav in sorted(clip.reconstructions.items())}
    figure = Figure(figsize=(9, 1.6 * len(signals)), layout="constrained")
    panels = figure.subplots(len(signals), 1, sharex=True, squeeze=False)[:, 0]
    extent = (0, clip.original.shape[-1] / clip.sample_rate_hz, 0, clip.sample_rate_hz / 2000)
    for panel, (title, wav) in zip(panels, signals.items(), strict=True):
        panel.imshow(
            _magnitude_db(wav[0]), origin="lower", aspect="auto", extent=extent, vmin=_FLOOR_DB, vmax=0.0
        )
        panel.set_ylabel(f"{title}\nkHz")
    panels[-1].set_xlabel("seconds")
    return figure


def _magnitude_db(wav: Tensor) -> np.ndarray[Any, Any]:
    """[T] to dB relative to a full-scale sine [F, S]."""
    window = torch.hann_window(_WINDOW_SAMPLES)
    padded = torch.nn.functional.pad(wav.cpu(), (0, max(0, _WINDOW_SAMPLES - wav.shape[-1])))
    spectrum = torch.stft(
        padded, _WINDOW_SAMPLES, _WINDOW_SAMPLES // 4, window=window, center=False, return_complex=True
    )
    relative = spectrum.abs() / (window.sum() / 2)
    return np.asarray(20 * torch.log10(relative.clamp(min=10 ** (_FLOOR_DB / 20))))


def _log_to_wandb(logger: WandbLogger, clip: ValidationClip, picture: Path, step: int) -> None:
    logger.log_image(f"spectrograms/{clip.name}", [str(picture)], step=step)
    for kbps, wav in clip.reconstructions.items():
        logger.log_audio(
            f"audio/{clip.name}/{kbps:g}kbps",
            [wav.clamp(-1, 1).T.cpu().numpy()],
            step=step,
            sample_rate=[clip.sample_rate_hz],
        )
