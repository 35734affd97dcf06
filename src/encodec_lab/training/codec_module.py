"""The training step of a codec: generator and discriminator, their losses, and the balancer between them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from encodec_lab.discriminators.ms_stft import MultiScaleStftDiscriminator, ScaleOutput
from encodec_lab.losses import (
    DiscriminatorHingeLoss,
    FeatureMatchingLoss,
    GeneratorHingeLoss,
    LossBalancer,
    commitment_loss,
)
from encodec_lab.models.encodec import EncodecModel, TrainingPass
from encodec_lab.quantization.residual_vq import CodebookLearning
from encodec_lab.training.draws import StepDraws, draw_step
from encodec_lab.training.gradient_reduction import GradientReduction
from encodec_lab.training.safety_net import SafetyNet, WinningDiscriminator
from encodec_lab.training.step_module import (
    OptimizerFactory,
    Schedule,
    StepTraining,
    ends_validation_interval,
)
from encodec_lab.training.usage_counter import UsageCounter
from encodec_lab.training.validation import BandwidthScores, ValidationClip, reconstruct_at_every_bandwidth
from encodec_lab.training.weight_average import WeightAverage

ADVERSARIAL_LOSSES = ("adversarial", "feature_matching")


@dataclass(frozen=True)
class DiscriminatorPass:
    """The discriminator's outputs on one batch, computed once for both sides of the game."""

    real: list[ScaleOutput]
    fake: list[ScaleOutput]


class CodecTraining(StepTraining):
    """Trains a codec, against a discriminator or without (EnCodec, arXiv 2210.13438, sections 3.4 and 4.4).

    A batch is a tensor [B, C, T]. `global_step` counts the generator's steps only; everything that counts (schedule,
    stopping, checkpoint names, the logged axis) hangs on it. All random draws of a step depend on the seed and this
    count.

    Args:
        codec: the generator, with its first weights.
        discriminator: the adversary, likewise; None trains by the reconstruction losses alone.
        reconstruction_losses: losses of (real, reconstruction), by the names that the balancer has weights for.
        balancer: mixes their gradients, with a discriminator also those of `adversarial` and `feature_matching`.
        codebook_learning: how the codec's codebooks learn.
        commitment_weight: of the commitment loss, which goes past the balancer. It is a mean over the batch, whereas
            the balanced gradient has a norm of one for each item; so with larger batches the commitment counts less.
        generator_optimizer: makes the codec's optimizer from its parameters.
        discriminator_optimizer: likewise for the discriminator, if there is one.
        schedule: factor on both learning rates by step.
        discriminator_probability: of updating the discriminator at a step.
        draws_any_number_of_codebooks: whether a batch uses any number of codebooks, all equally likely, as in
            audiocraft, or the number of a target bandwidth, as in the paper.
        unquantized_steps: how many steps the codebooks wait before they gather vectors for their start; until they have
            one, the latent goes to the decoder unquantised.
        trains_encoder: false keeps the encoder's first weights, so that codebooks and decoder learn from latents that
            stay as they are; there is no commitment then.
        average_decay: of the moving average of the weights.
        max_skipped_steps: steps whose gradients are not finite are skipped; so many in a row end the run.
        winning_discriminator: when to report that the discriminator has won; None never does.
        seed: of the run's draws.
        run_config: plain values that rebuild the run; kept in every checkpoint. `run_config["model"]` must build the
            codec, `run_config["discriminator"]` the discriminator.

    Raises:
        ValueError: a value is out of range, or the balancer has weights for other losses than there are.
    """

    what = "codec"
    networks = ("model", "discriminator")

    def __init__(
        self,
        *,
        codec: EncodecModel,
        discriminator: MultiScaleStftDiscriminator | None,
        reconstruction_losses: Mapping[str, nn.Module],
        balancer: LossBalancer,
        codebook_learning: CodebookLearning,
        commitment_weight: float,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        schedule: Schedule,
        discriminator_probability: float,
        draws_any_number_of_codebooks: bool,
        unquantized_steps: int,
        trains_encoder: bool,
        average_decay: float,
        max_skipped_steps: int,
        winning_discriminator: WinningDiscriminator | None,
        seed: int,
        run_config: Mapping[str, Any],
    ) -> None:
        networks = ("codec",) if discriminator is None else ("codec", "discriminator")
        safety_net = SafetyNet(networks, max_skipped_steps, winning_discriminator)
        super().__init__(schedule=schedule, seed=seed, run_config=run_config, safety_net=safety_net)
        if not 0 <= discriminator_probability <= 1:
            raise ValueError(f"discriminator_probability must be in [0, 1], got {discriminator_probability}")
        if unquantized_steps < 0:
            raise ValueError(f"unquantized_steps must not be negative, got {unquantized_steps}")
        if commitment_weight < 0:
            raise ValueError(f"commitment_weight must not be negative, got {commitment_weight}")
        losses = {*reconstruction_losses, *(() if discriminator is None else ADVERSARIAL_LOSSES)}
        if balancer.shares.keys() != losses:
            raise ValueError(
                f"the balancer has weights for {', '.join(sorted(balancer.shares))}, "
                f"but the losses are {', '.join(sorted(losses))}"
            )
        codec.quantizer.configure_learning(codebook_learning)
        codec.encoder.requires_grad_(trains_encoder)
        self.codec = codec
        self.discriminator = discriminator
        self.reconstruction_losses = nn.ModuleDict(reconstruction_losses)
        self.balancer = balancer
        self.average = WeightAverage(codec, average_decay)
        self.adversarial_loss = GeneratorHingeLoss()
        self.feature_matching_loss = FeatureMatchingLoss()
        self.discriminator_loss = DiscriminatorHingeLoss()
        self.codebook_usage = UsageCounter(codec.config.num_codebooks, codec.config.codebook_size)
        self.scores = BandwidthScores(codec.target_bandwidths)
        self.commitment_weight = commitment_weight
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.discriminator_probability = discriminator_probability
        self.unquantized_steps = unquantized_steps
        self.drawn_bandwidths = list(codec.target_bandwidths)
        if draws_any_number_of_codebooks:
            kbps_per_codebook = codec.frame_rate * codec.bits_per_codebook / 1000
            counts = range(1, codec.config.num_codebooks + 1)
            self.drawn_bandwidths = [count * kbps_per_codebook for count in counts]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The codec's optimizer, then the discriminator's, if there is one."""
        optimizers = [self.generator_optimizer(self._learned_parameters())]
        if self.discriminator is not None:
            optimizers.append(self.discriminator_optimizer(self.discriminator.parameters()))
        return optimizers

    def _learned_parameters(self) -> list[nn.Parameter]:
        """The codec's, without those of an encoder that stays as it is."""
        return [parameter for parameter in self.codec.parameters() if parameter.requires_grad]

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        """One step of the generator and, by chance, one of the discriminator, on [B, C, T]."""
        step = self.global_step
        draws = draw_step(self.seed, step, self.drawn_bandwidths, self.discriminator_probability)
        self._set_learning_rates(self.schedule(step))
        codec_pass = self.codec.forward_for_training(
            batch,
            self.codec.config.num_codebooks_for(draws.bandwidth_kbps),
            draws.codebook_seed,
            may_start=step >= self.unquantized_steps,
        )
        self.codebook_usage.add(codec_pass.latent.counts)
        output = codec_pass.reconstruction.detach().float().requires_grad_()
        judged = None
        if self.discriminator is not None:
            judged = _judge(self.discriminator, batch, output, draws.updates_discriminator)
        # Both backward passes read the discriminator's weights of before this step, so no step comes before them; and
        # the gradients of the first are reduced while the second goes on.
        of_codec = self._backpropagate_to_codec(batch, output, codec_pass, judged)
        of_discriminator = None
        if judged is not None and draws.updates_discriminator:
            of_discriminator = self._backpropagate_to_discriminator(judged)
        self._step_codec(of_codec)
        if of_discriminator is not None:
            self._step_discriminator(of_discriminator)
        elif judged is not None:  # Lightning would log the last update's values again
            self._log_scalars("train", {"discriminator": math.nan, "discriminator_gradient_norm": math.nan})
        self.average.update(self.codec, step)
        self._log_step(draws)
        self.safety_net.check(step)
        if not self.trainer.val_dataloaders and ends_validation_interval(self.trainer):
            figures = {name: float(value) for name, value in self.codebook_usage.pop_figures().items()}
            for logger in self.trainer.loggers:  # `log` would repeat them at later steps
                logger.log_metrics(figures, step)

    def _backpropagate_to_codec(
        self, real: Tensor, output: Tensor, codec_pass: TrainingPass, judged: DiscriminatorPass | None
    ) -> GradientReduction:
        """Back-propagate the balanced gradient from the output, the commitment apart."""
        with torch.autocast(output.device.type, enabled=False):
            losses: dict[str, Tensor] = {
                name: loss(real, output) for name, loss in self.reconstruction_losses.items()
            }
            if judged is not None:
                losses["adversarial"] = self.adversarial_loss(judged.fake)
                losses["feature_matching"] = self.feature_matching_loss(judged.real, judged.fake)
            balanced = self.balancer(losses, output)
            latent = codec_pass.latent
            commitment = (
                commitment_loss(latent.residuals, latent.entries)
                if latent.residuals
                else codec_pass.reconstruction.new_zeros(())
            )
        self._optimizers()[0].zero_grad()
        reconstruction = codec_pass.reconstruction
        roots: list[Tensor] = [reconstruction]
        gradients: list[Tensor | None] = [balanced.gradient.to(reconstruction.dtype)]
        if commitment.requires_grad:
            roots.append(self.commitment_weight * commitment)
            gradients.append(None)
        with GradientReduction(self._learned_parameters()) as reduction:
            torch.autograd.backward(roots, gradients)
        self._log_scalars("train", {**losses, "commitment": commitment})
        self._log_scalars("balancer/norm", balanced.norms)
        self._log_scalars("balancer/ratio", balanced.ratios)
        return reduction

    def _backpropagate_to_discriminator(self, judged: DiscriminatorPass) -> GradientReduction:
        """Back-propagate the hinge loss to the discriminator alone."""
        assert self.discriminator is not None
        self._optimizers()[1].zero_grad()
        with torch.autocast(self.device.type, enabled=False):
            loss = self.discriminator_loss(judged.real, judged.fake)
        parameters = list(self.discriminator.parameters())
        with GradientReduction(parameters) as reduction:
            loss.backward(inputs=parameters)
        self.safety_net.watch_discriminator(loss)
        self._log_scalars("train", {"discriminator": loss})
        return reduction

    def _step_codec(self, reduction: GradientReduction) -> None:
        norm = reduction.finish()
        self.safety_net.step_or_skip("codec", self._optimizers()[0], norm)
        figures = {"gradient_norm": norm, "skipped_steps": self.safety_net.skipped("codec")}
        self._log_scalars("train", figures)

    def _step_discriminator(self, reduction: GradientReduction) -> None:
        norm = reduction.finish()
        # The raw optimizer: Lightning's wrapper would count this step in global_step.
        self.safety_net.step_or_skip("discriminator", self._optimizers()[1].optimizer, norm)
        self._log_scalars("train", {"discriminator_gradient_norm": norm})

    def _log_step(self, draws: StepDraws) -> None:
        rate = self._optimizers()[0].param_groups[0]["lr"]
        self._log_scalars("train", {"learning_rate": rate, "bandwidth_kbps": draws.bandwidth_kbps})
        if self.discriminator is not None:
            skipped = self.safety_net.skipped("discriminator")
            self._log_scalars("train", {"discriminator_skipped_steps": skipped})

    def validation_step(  # type: ignore[override]  # callbacks take the clip
        self, batch: tuple[Tensor, list[str]], batch_idx: int
    ) -> ValidationClip | None:
        """Score one clip (wav [1, C, T], its name) at every bandwidth, by the averaged weights."""
        codec = self.average.codec
        if not codec.quantizer.started:
            return None
        wav, names = batch
        clip = reconstruct_at_every_bandwidth(codec, wav, names[0])
        self.scores.add(clip)
        return clip

    def on_validation_epoch_end(self) -> None:
        """Log the scores by bandwidth and, of the training since the last validation, how codebooks were used."""
        if not self.codec.quantizer.started:
            return
        self.log_dict(self.scores.pop_means(self.device), sync_dist=True)
        if not self.trainer.sanity_checking:
            self.log_dict(self.codebook_usage.pop_figures(), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the run's configuration, and the vectors that wait for k-means."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["gathered_vectors"] = self.codec.quantizer.gathered_vectors()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` added; raises what `check_continues` does."""
        super().on_load_checkpoint(checkpoint)
        self.codec.quantizer.restore_gathered_vectors(checkpoint["gathered_vectors"])


def _judge(
    discriminator: MultiScaleStftDiscriminator, real: Tensor, output: Tensor, learns: bool
) -> DiscriminatorPass:
    """Run the discriminator on real audio and on the output; gradients of the real one only where it learns."""
    with torch.set_grad_enabled(learns):
        real_outputs = discriminator(real)
    return DiscriminatorPass(real=real_outputs, fake=discriminator(output))
