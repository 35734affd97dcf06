"""How fast training is: our step in turns with one assembled from the reference's modules, on the same batches.

Times are of the processor, on one thread: what other programs do on the machine counts for little.
"""

import statistics
import time
from types import ModuleType
from typing import Any, NamedTuple

import lightning
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from encodec_lab.evaluation.reference_step import ReferenceSettings, ReferenceStep
from encodec_lab.training.codec_module import CodecTraining
from encodec_lab.training.draws import draw_step
from encodec_lab.training.loop import build_trainer, prepare
from encodec_lab.training.run import build_module


class StepTime(NamedTuple):
    """Medians over the steps of one kind.

    Attributes:
        num_steps: that were timed.
        ours_s: seconds of a step.
        theirs_s: likewise of the reference's modules; None without them.
        ratio: median of the steps' own ratios, theirs to ours.
    """

    num_steps: int
    ours_s: float
    theirs_s: float | None
    ratio: float | None


class TrainingSpeed(NamedTuple):
    """The two kinds of step, and all of it together.

    Attributes:
        generator: steps of the generator alone.
        both: steps of generator and discriminator.
        ratio: of the reference's time to ours over a run in which the discriminator is updated as often as the
            configuration says, of the medians; None without the reference.
        audio_s_per_s: seconds of audio per second of whole training, reading included, with the discriminator's updates
            as often as the configuration draws them.
    """

    generator: StepTime
    both: StepTime
    ratio: float | None
    audio_s_per_s: float


def measure_training(config: DictConfig, reference: ModuleType | None) -> TrainingSpeed:
    """Train as `config` (configs/bench_training.yaml) says and time its steps; the first of each kind do not count.

    Codebooks are given a start at random, so that all steps quantise. The reference's steps have the same first
    weights, batches, bandwidths and kinds of steps, and come before ours of the same batch.

    Args:
        config: of a run with a discriminator, on the CPU, in one process and on one thread.
        reference: the package `encodec` 0.1.1; None times our steps alone.

    Raises:
        ValueError: a setting is impossible, or there are too few steps.
    """
    if config.trainer.accelerator != "cpu" or config.num_threads != 1:
        raise ValueError(
            "times are of one thread of the CPU: leave trainer.accelerator=cpu and num_threads=1"
        )
    values = prepare(config).values
    codec = instantiate(config.model, _convert_="all")
    data = instantiate(config.data, _convert_="all")
    module = build_module(config, values, codec, starts_anew=True)
    _start_codebooks(module)
    twin = None if reference is None else _reference_step(reference, config, module)
    trainer = build_trainer(config)
    timer = _StepTimer(twin)
    trainer.callbacks.append(timer)  # type: ignore[attr-defined]  # a list, which the trainer does not say
    data.trainer = trainer
    data.setup("fit")
    trainer.fit(module, data)
    audio_s = data.crop_samples / codec.sample_rate * config.data.batch_size * len(timer.whole_s)
    alone, both = timer.summary(False), timer.summary(True)
    ratio = _overall_ratio(alone, both, config.codec_training.discriminator_probability)
    return TrainingSpeed(alone, both, ratio, audio_s / sum(timer.whole_s))


def _overall_ratio(alone: StepTime, both: StepTime, probability: float) -> float | None:
    if alone.theirs_s is None or both.theirs_s is None:
        return None
    theirs_s = (1 - probability) * alone.theirs_s + probability * both.theirs_s
    return theirs_s / ((1 - probability) * alone.ours_s + probability * both.ours_s)


class _StepTimer(lightning.Callback):
    """Times every `training_step`, and the reference's before it.

    Attributes:
        steps: of each step whether the discriminator was updated, and our and their seconds.
        whole_s: seconds from the end of a step to the end of the next, without the reference's.
    """

    def __init__(self, reference: ReferenceStep | None) -> None:
        self._reference = reference
        self.steps: list[tuple[bool, float, float | None]] = []
        self.whole_s: list[float] = []
        self._previous_end_s: float | None = None

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let the reference take the step that is coming."""
        assert isinstance(pl_module, CodecTraining)
        bandwidths, probability = pl_module.drawn_bandwidths, pl_module.discriminator_probability
        draws = draw_step(pl_module.seed, pl_module.global_step, bandwidths, probability)
        self._updates = draws.updates_discriminator
        self._theirs_s: float | None = None
        if self._reference is not None:
            started_s = time.process_time()
            self._reference(batch, draws.bandwidth_kbps, draws.updates_discriminator)
            self._theirs_s = time.process_time() - started_s
        self._started_s = time.process_time()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note how long the step took."""
        ended_s = time.process_time()
        self.steps.append((self._updates, ended_s - self._started_s, self._theirs_s))
        if self._previous_end_s is not None:
            self.whole_s.append(ended_s - self._previous_end_s - (self._theirs_s or 0.0))
        self._previous_end_s = ended_s

    def summary(self, updates_discriminator: bool) -> StepTime:
        """The steps of one kind but the first, whose memory is not there yet."""
        steps = [(ours, theirs) for updates, ours, theirs in self.steps if updates == updates_discriminator][
            1:
        ]
        if not steps:
            raise ValueError("too few steps to time: raise trainer.max_steps")
        ours_s = [ours for ours, _ in steps]
        theirs_s = [theirs for _, theirs in steps if theirs is not None]
        if not theirs_s:
            return StepTime(len(steps), statistics.median(ours_s), None, None)
        ratios = [theirs / ours for ours, theirs in zip(ours_s, theirs_s, strict=True)]
        medians = [statistics.median(values) for values in (ours_s, theirs_s, ratios)]
        return StepTime(len(steps), *medians)


@torch.no_grad()
def _start_codebooks(module: CodecTraining) -> None:
    quantizer = module.codec.quantizer
    for codebook in quantizer.codebooks:
        counts = torch.ones_like(codebook.cluster_size)
        codebook.start(torch.randn_like(codebook.embed), counts, len(counts))


def _reference_step(reference: ModuleType, config: DictConfig, module: CodecTraining) -> ReferenceStep:
    assert module.discriminator is not None
    mel = instantiate(config.losses.reconstruction.mel, _convert_="all")
    settings = ReferenceSettings(
        mel_windows=list(config.losses.reconstruction.mel.window_lengths),
        num_mels=[scale.filters.shape[0] for scale in mel.scales],
        low_hz=config.losses.reconstruction.mel.low_hz,
        weights=dict(config.losses.balancer.weights),
        balancer_decay=config.losses.balancer.decay,
        commitment_weight=config.losses.commitment_weight,
        learning_rate=config.generator_optimizer.lr,
        betas=tuple(config.generator_optimizer.betas),
    )
    return ReferenceStep(reference, module.codec, module.discriminator, settings)
