"""Metrics that take too long for every validation, such as PESQ and STOI, on a few clips beside the training."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import lightning

from encodec_lab.evaluation.scored_metrics import METRICS_WITH_VISQOL, ScoredMetric
from encodec_lab.training.validation import BandwidthScores, ValidationClip


class SlowScores(lightning.Callback):
    """At every n-th validation scores the first clips of the first rank at every bandwidth, and logs the means.

    The scores are computed in a thread while the training goes on, and logged at the validation's step once they are
    there; those of a run that is stopped or killed meanwhile are lost. The sanity check before the training is no
    validation.

    Args:
        metrics: names, such as "pesq", "stoi" and "visqol".
        every_n_validations: 1 for each. Counted from the start of the run, a resumed one's as of the first.
        num_clips: the first clips of the validation data, the same each time.

    Raises:
        ValueError: a metric that does not exist, or numbers below 1.
    """

    def __init__(self, metrics: list[str], every_n_validations: int, num_clips: int) -> None:
        known = {metric.name: metric for metric in METRICS_WITH_VISQOL}
        if not metrics or not set(metrics) <= set(known):
            raise ValueError(f"metrics must be some of {', '.join(known)}, got {metrics}")
        if every_n_validations < 1 or num_clips < 1:
            raise ValueError(
                "every_n_validations and num_clips must be at least 1, "
                f"got {every_n_validations} and {num_clips}"
            )
        self.metrics = tuple(known[name] for name in metrics)
        self.every_n_validations = every_n_validations
        self.num_clips = num_clips
        self._num_validations = 0
        self._clips: list[ValidationClip] = []
        self._running: tuple[int, Future[dict[str, float]]] | None = None
        self._thread = ThreadPoolExecutor(1, "slow_scores")
        self._stopped = threading.Event()

    def state_dict(self) -> dict[str, Any]:
        """How many validations there have been, for checkpoints."""
        return {"num_validations": self._num_validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from there."""
        self._num_validations = state_dict["num_validations"]

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep one clip, if it is among the first and this validation's turn."""
        turn = (self._num_validations + 1) % self.every_n_validations == 0
        wanted = (
            trainer.is_global_zero and turn and not trainer.sanity_checking and batch_idx < self.num_clips
        )
        if wanted and isinstance(outputs, ValidationClip):
            self._clips.append(_on_cpu(outputs))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start to score the clips that were kept; waits for the last scoring, should that still run."""
        if trainer.sanity_checking:
            return
        self._num_validations += 1
        if self._clips:
            self._log_when_done(trainer, wait=True)
            clips, self._clips = self._clips, []
            self._running = (
                trainer.global_step - 1,
                self._thread.submit(_means, clips, self.metrics, self._stopped),
            )

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Log what is ready."""
        self._log_when_done(trainer, wait=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Wait for what is not, and log it."""
        self._log_when_done(trainer, wait=True)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Give up, after the clip that is being scored: whoever presses Ctrl-C does not want to wait."""
        self._stopped.set()

    def _log_when_done(self, trainer: lightning.Trainer, wait: bool) -> None:
        if self._running is None or not (wait or self._running[1].done()):
            return
        step, future = self._running
        self._running = None
        for logger in trainer.loggers:
            logger.log_metrics(future.result(), step)


def _on_cpu(clip: ValidationClip) -> ValidationClip:
    reconstructions = {kbps: wav.cpu() for kbps, wav in clip.reconstructions.items()}
    return ValidationClip(clip.name, clip.sample_rate_hz, clip.original.cpu(), reconstructions)


def _means(
    clips: list[ValidationClip], metrics: tuple[ScoredMetric, ...], stopped: threading.Event
) -> dict[str, float]:
    scores = BandwidthScores(list(clips[0].reconstructions), metrics)
    for clip in clips:
        if stopped.is_set():
            return {}
        scores.add(clip)
    return scores.local_means()
