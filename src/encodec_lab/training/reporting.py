"""What a run says on the terminal: a line per validation, and where everything lies at the end."""

import sys
import time
from pathlib import Path

import lightning

from encodec_lab.training.curves import draw_curves
from encodec_lab.training.local_logger import METRICS_FILE


class RunReporter(lightning.Callback):
    """Prints one line per validation and a closing summary, and keeps `curves.png` up to date."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._started_s = time.monotonic()

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._started_s = time.monotonic()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print the step and the scores by bandwidth."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            for logger in trainer.loggers:  # a run that is killed later keeps what it has logged so far
                logger.save()
            print(
                f"step {trainer.global_step}, {time.monotonic() - self._started_s:.0f} s: "
                + (_scores_line(trainer) or "no scores yet (vectors are being gathered for k-means)"),
                file=sys.stderr,
                flush=True,
            )

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw the curves and say where everything is."""
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.save()
        metrics = self.folder / METRICS_FILE
        lines = [f"trained to step {trainer.global_step} in {time.monotonic() - self._started_s:.0f} s"]
        if metrics.exists():
            draw_curves(metrics, self.folder / "curves.png")
            lines += [f"metrics      {metrics}", f"curves       {self.folder / 'curves.png'}"]
        for place in ("checkpoints", "samples"):
            if (self.folder / place).exists():
                lines.append(f"{place:<12} {self.folder / place}")
        print("\n".join(lines), file=sys.stderr, flush=True)


def _scores_line(trainer: lightning.Trainer) -> str:
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    parts = []
    for title, unit in (("si_snr_db", "dB SI-SNR"), ("mel_distance", "mel distance")):
        scores = [
            f"{name.rsplit('/', 1)[-1]} {value:.2f}"
            for name, value in metrics.items()
            if name.startswith(f"valid/{title}/")
        ]
        if scores:
            parts.append(f"{unit} " + ", ".join(scores))
    return "; ".join(parts)
