"""The training step of a codec: generator and discriminator, their losses, and the balancer between them."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
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
from encodec_lab.modules.distributed import flat_all_reduce_mean_
from encodec_lab.modules.initialization import preserve_discriminated_signal_, preserve_signal_
from encodec_lab.training.draws import StepDraws, draw_step
from encodec_lab.training.usage_counter import UsageCounter
from encodec_lab.training.validation import BandwidthScores, ValidationClip, reconstruct_at_every_bandwidth
from encodec_lab.training.weight_average import WeightAverage

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class DiscriminatorPass:
    """The discriminator's outputs on one batch, computed once for both sides of the game."""

    real: list[ScaleOutput]
    fake: list[ScaleOutput]


class CodecTraining(lightning.LightningModule):
    """Trains `codec` against `discriminator` (EnCodec, arXiv 2210.13438, sections 3.4 and 4.4).

    A batch is a tensor [B, C, T]. `global_step` counts the generator's steps only; everything that counts (schedule,
    stopping, checkpoint names, the logged axis) hangs on it. All random draws of a step depend on the seed and this
    count.

    Args:
        codec: the generator.
        discriminator: the adversary.
        reconstruction_losses: losses of (real, reconstruction), by the names that the balancer has weights for.
        balancer: mixes their gradients with those of `adversarial` and `feature_matching`.
        commitment_weight: of the commitment loss, which goes past the balancer. It is a mean over the batch, whereas
            the balanced gradient has a norm of one for each item; so with larger batches the commitment counts less.
        generator_optimizer: makes the codec's optimizer from its parameters.
        discriminator_optimizer: likewise for the discriminator.
        schedule: factor on both learning rates by step.
        discriminator_probability: of updating the discriminator at a step.
        signal_preserving_start: draw the first weights of both networks anew, by `modules.initialization` instead of
            torch's rules; false keeps the weights that they come with.
        codebook_learning: arguments of `ResidualVectorQuantizer.configure_learning`.
        average_decay: of the moving average of the weights.
        seed: of the run's draws.
        run_config: plain values that rebuild the run; kept in every checkpoint. `run_config["model"]` must build the
            codec, `run_config["discriminator"]` the discriminator.
    """

    def __init__(
        self,
        *,
        codec: EncodecModel,
        discriminator: MultiScaleStftDiscriminator,
        reconstruction_losses: Mapping[str, nn.Module],
        balancer: LossBalancer,
        commitment_weight: float,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        schedule: Callable[[int], float],
        discriminator_probability: float,
        signal_preserving_start: bool,
        codebook_learning: Mapping[str, Any],
        average_decay: float,
        seed: int,
        run_config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        if not 0 <= discriminator_probability <= 1:
            raise ValueError(f"discriminator_probability must be in [0, 1], got {discriminator_probability}")
        if commitment_weight < 0:
            raise ValueError(f"commitment_weight must not be negative, got {commitment_weight}")
        self.automatic_optimization = False
        if signal_preserving_start:
            preserve_signal_(codec)
            preserve_discriminated_signal_(discriminator, discriminator.leaky_relu_slope)
        codec.quantizer.configure_learning(**codebook_learning)
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
        self.schedule = schedule
        self.discriminator_probability = discriminator_probability
        self.seed = seed
        self.run_config = dict(run_config)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The codec's optimizer, then the discriminator's."""
        return [
            self.generator_optimizer(self.codec.parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        """One step of the generator and, by chance, one of the discriminator, on [B, C, T]."""
        step = self.global_step
        draws = draw_step(self.seed, step, self.codec.target_bandwidths, self.discriminator_probability)
        self._set_learning_rates(self.schedule(step))
        codec_pass = self.codec.forward_for_training(
            batch, self.codec.num_codebooks_for(draws.bandwidth_kbps), draws.codebook_seed
        )
        self.codebook_usage.add(codec_pass.latent.counts)
        output = codec_pass.reconstruction.detach().float().requires_grad_()
        judged = self._judge(batch, output, draws.updates_discriminator)
        # Both backward passes read the discriminator's weights of before this step, so its step comes last.
        self._step_generator(batch, output, codec_pass, judged)
        if draws.updates_discriminator:
            self._step_discriminator(judged)
        else:  # Lightning would log the last update's values again
            self._log_scalars("train", {"discriminator": math.nan, "discriminator_gradient_norm": math.nan})
        self.average.update(self.codec, step)
        self._log_step(draws)

    def _judge(self, real: Tensor, output: Tensor, updates_discriminator: bool) -> DiscriminatorPass:
        """Run the discriminator on real audio and on the output; real gradients only where they are needed."""
        with torch.set_grad_enabled(updates_discriminator):
            real_outputs = self.discriminator(real)
        return DiscriminatorPass(real=real_outputs, fake=self.discriminator(output))

    def _step_generator(
        self, real: Tensor, output: Tensor, codec_pass: TrainingPass, judged: DiscriminatorPass
    ) -> None:
        """Back-propagate the balanced gradient from the output, the commitment apart, and step the codec."""
        with torch.autocast(output.device.type, enabled=False):
            losses: dict[str, Tensor] = {
                name: loss(real, output) for name, loss in self.reconstruction_losses.items()
            }
            losses["adversarial"] = self.adversarial_loss(judged.fake)
            losses["feature_matching"] = self.feature_matching_loss(judged.real, judged.fake)
            balanced = self.balancer(losses, output)
            latent = codec_pass.latent
            commitment = (
                commitment_loss(latent.residuals, latent.entries)
                if latent.residuals
                else codec_pass.reconstruction.new_zeros(())
            )
        optimizer = self._optimizers()[0]
        optimizer.zero_grad()
        reconstruction = codec_pass.reconstruction
        roots: list[Tensor] = [reconstruction]
        gradients: list[Tensor | None] = [balanced.gradient.to(reconstruction.dtype)]
        if commitment.requires_grad:
            roots.append(self.commitment_weight * commitment)
            gradients.append(None)
        torch.autograd.backward(roots, gradients)
        norm = self._reduce_gradients(self.codec)
        optimizer.step()
        self._log_scalars("train", {**losses, "commitment": commitment, "gradient_norm": norm})
        self._log_scalars("balancer/norm", balanced.norms)
        self._log_scalars("balancer/ratio", balanced.ratios)

    def _step_discriminator(self, judged: DiscriminatorPass) -> None:
        """Back-propagate the hinge loss to the discriminator alone, and step it."""
        # The raw optimizer: Lightning's wrapper would count this step in global_step.
        optimizer = self._optimizers()[1].optimizer
        optimizer.zero_grad()
        with torch.autocast(self.device.type, enabled=False):
            loss = self.discriminator_loss(judged.real, judged.fake)
        loss.backward(inputs=list(self.discriminator.parameters()))
        norm = self._reduce_gradients(self.discriminator)
        optimizer.step()
        self._log_scalars("train", {"discriminator": loss, "discriminator_gradient_norm": norm})

    @torch.no_grad()
    def _reduce_gradients(self, network: nn.Module) -> Tensor:
        """Average the gradients over the ranks in one collective; returns their total norm [].

        Where that is not finite all gradients are set to zero, on every rank alike and without waiting for the device:
        a single one in Adam's averages, or in the weights, would stay for ever.
        """
        gradients = []
        for parameter in network.parameters():
            if parameter.grad is None:  # the decoder alone learns nothing while vectors are gathered, say
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        flat_all_reduce_mean_(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        is_finite = torch.isfinite(norm)
        for gradient in gradients:
            gradient.copy_(torch.where(is_finite, gradient, 0.0))
        return norm

    def _optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers

    def _set_learning_rates(self, factor: float) -> None:
        for optimizer in self._optimizers():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
                group["lr"] = factor * group["initial_lr"]

    def _log_scalars(self, prefix: str, values: Mapping[str, Tensor | float]) -> None:
        self.log_dict({f"{prefix}/{name}": torch.as_tensor(value).detach() for name, value in values.items()})

    def _log_step(self, draws: StepDraws) -> None:
        rate = self._optimizers()[0].param_groups[0]["lr"]
        self._log_scalars("train", {"learning_rate": rate, "bandwidth_kbps": draws.bandwidth_kbps})

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
        checkpoint["run_config"] = self.run_config
        checkpoint["gathered_vectors"] = self.codec.quantizer.gathered_vectors()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` added; raises what `check_continues` does."""
        self.check_continues(checkpoint)
        self.codec.quantizer.restore_gathered_vectors(checkpoint["gathered_vectors"])

    def check_continues(self, checkpoint: object) -> None:
        """Check that a checkpoint holds these networks.

        Raises:
            ValueError: it is of another model or discriminator, or of another program.
        """
        if not isinstance(checkpoint, Mapping) or "run_config" not in checkpoint:
            raise ValueError("the checkpoint was not written by encodec-lab's codec training")
        for part in ("model", "discriminator"):
            theirs, mine = checkpoint["run_config"][part], self.run_config[part]
            if differing := sorted(
                key for key in theirs.keys() | mine.keys() if theirs.get(key) != mine.get(key)
            ):
                raise ValueError(
                    f"the checkpoint is of another {part}; it differs in "
                    + ", ".join(f"{key} ({theirs.get(key)} there, {mine.get(key)} here)" for key in differing)
                )
