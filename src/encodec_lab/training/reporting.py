"""What a run says on the terminal: a line per validation, and where everything lies at the end."""

import sys
import time
from pathlib import Path

import lightning

from encodec_lab.evaluation.report import ReportContent, write_report
from encodec_lab.evaluation.scored_metrics import VALIDATION_METRICS
from encodec_lab.evaluation.training_log import CODEC_CHARTS, read_training_records
from encodec_lab.training.lm_figures import LM_CHARTS
from encodec_lab.training.local_logger import METRICS_FILE

CURVES_FILE = "curves.html"
# What is told of a validation: name, heading, number of decimals.
_SCORES = (
    *((metric.name, metric.heading, metric.num_decimals) for metric in VALIDATION_METRICS),
    ("lm_kbps", "language model, kbps", 2),
    ("lm_saving_percent", "saving, %", 1),
)


class RunReporter(lightning.Callback):
    """Prints one line per validation and a closing summary, and draws the curves of the run."""

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
            records = read_training_records(metrics)
            content = ReportContent("Training curves", training=records, charts=LM_CHARTS + CODEC_CHARTS)
            write_report(self.folder / CURVES_FILE, content)
            lines += [f"metrics      {metrics}", f"curves       {self.folder / CURVES_FILE}"]
        for place in ("checkpoints", "samples"):
            if (self.folder / place).exists():
                lines.append(f"{place:<12} {self.folder / place}")
        print("\n".join(lines), file=sys.stderr, flush=True)


def _scores_line(trainer: lightning.Trainer) -> str:
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    parts = []
    for score, heading, num_decimals in _SCORES:
        scores = [
            f"{name.rsplit('/', 1)[-1]} {value:.{num_decimals}f}"
            for name, value in metrics.items()
            if name.startswith(f"valid/{score}/")
        ]
        if scores:
            parts.append(f"{heading}: " + ", ".join(scores))
    return "; ".join(parts)
