"""Audio and spectrograms of fixed validation clips: local files and, where there is one, the wandb run."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.loggers import WandbLogger

from encodec_lab.data.audio_file import write_wav
from encodec_lab.evaluation.spectrogram_image import mel_spectrogram_db, spectrogram_png
from encodec_lab.training.validation import ValidationClip


class ReconstructionSamples(lightning.Callback):
    """At every validation writes the first `num_clips` clips of the first rank at every bandwidth.

    `folder/CLIP/original.wav` and `folder/CLIP/step_SSSSSS_KBPSkbps.wav`, each with its mel spectrogram beside it, as
    `.png`; the colours of all are on the original's scale.
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
        folder = self.folder / clip.name  # a path: clips of several folders may share file names
        folder.mkdir(parents=True, exist_ok=True)
        signals = {"original": clip.original}
        for kbps, wav in clip.reconstructions.items():
            signals[f"step_{trainer.global_step:06d}_{kbps:g}kbps"] = wav
        levels = {stem: mel_spectrogram_db(wav, clip.sample_rate_hz) for stem, wav in signals.items()}
        top_db = float(levels["original"].max())
        for stem, wav in signals.items():
            write_wav(folder / f"{stem}.wav", wav, clip.sample_rate_hz)
            (folder / f"{stem}.png").write_bytes(spectrogram_png(levels[stem], top_db))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                pictures = [str(folder / f"{stem}.png") for stem in signals]
                _log_to_wandb(logger, clip, pictures, trainer.global_step)


def _log_to_wandb(logger: WandbLogger, clip: ValidationClip, pictures: list[str], step: int) -> None:
    names = [Path(picture).stem for picture in pictures]
    logger.log_image(f"spectrograms/{clip.name}", pictures, step=step, caption=names)
    for kbps, wav in clip.reconstructions.items():
        logger.log_audio(
            f"audio/{clip.name}/{kbps:g}kbps",
            [wav.clamp(-1, 1).T.cpu().numpy()],
            step=step,
            sample_rate=[clip.sample_rate_hz],
        )
