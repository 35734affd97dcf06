"""A training step assembled from the reference's own modules: the baseline that ours is timed beside.

The package `encodec` 0.1.1 has the codec and the MS-STFT discriminator but no training; the rest is written plainly
after the paper (arXiv 2210.13438, section 3.4) and audiocraft, as most trainers have it, without its needless work:
filterbanks are made once, features of real audio are constants for the generator, and one backward pass through the
codec serves the balanced gradient and the commitment. There is no moving average of the weights and no log.
"""

import importlib
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from encodec_lab.discriminators import MultiScaleStftDiscriminator
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.signal import mel_filterbank

_SLOPE = 0.2  # of the reference's discriminator


class ReferenceSettings(NamedTuple):
    """What the two steps have in common.

    Attributes:
        mel_windows: window lengths of the mel loss, in samples.
        num_mels: for each of them, the number of bins.
        low_hz: lowest frequency of the filters.
        weights: of the losses `l1`, `mel`, `adversarial` and `feature_matching` in the balancer.
        balancer_decay: of its averages.
        commitment_weight: of the commitment loss.
        learning_rate: of both optimizers.
        betas: likewise.
    """

    mel_windows: list[int]
    num_mels: list[int]
    low_hz: float
    weights: Mapping[str, float]
    balancer_decay: float
    commitment_weight: float
    learning_rate: float
    betas: tuple[float, float]


class ReferenceStep:
    """One generator step, and one of the discriminator on demand, in float32 on the CPU.

    Args:
        reference: the package `encodec` 0.1.1.
        codec: of a published architecture; its weights and codebooks are copied.
        discriminator: whose weights are copied; its slope must be 0.2.
        settings: of the losses and optimizers.
    """

    def __init__(
        self,
        reference: ModuleType,
        codec: EncodecModel,
        discriminator: MultiScaleStftDiscriminator,
        settings: ReferenceSettings,
    ) -> None:
        assert discriminator.leaky_relu_slope == _SLOPE
        self.settings = settings
        self.codec = _reference_codec(reference, codec)
        self.discriminator = _reference_discriminator(reference, discriminator)
        self.codec_adam, self.discriminator_adam = (
            torch.optim.Adam(network.parameters(), settings.learning_rate, settings.betas)
            for network in (self.codec, self.discriminator)
        )
        self._mel_scales = [
            _MelScale(codec.sample_rate, window, count, settings.low_hz)
            for window, count in zip(settings.mel_windows, settings.num_mels, strict=True)
        ]
        self._averages: dict[str, tuple[float, float]] = dict.fromkeys(settings.weights, (0.0, 0.0))

    def __call__(self, real: Tensor, bandwidth_kbps: float, updates_discriminator: bool) -> dict[str, float]:
        """Train on [B, C, T]; returns the losses by name."""
        reconstruction, commitment = self._reconstruct(real, bandwidth_kbps)
        output = reconstruction.detach().requires_grad_()
        losses = self._generator_losses(real, output)
        gradient = self._balanced_gradient(losses, output)
        self.codec_adam.zero_grad()
        torch.autograd.backward(
            [reconstruction, self.settings.commitment_weight * commitment], [gradient, None]
        )
        # Both networks learn from the weights of before the step, as ours do; it costs the same the other way round.
        if updates_discriminator:
            losses["discriminator"] = self._discriminator_loss(real, output.detach())
            self.discriminator_adam.zero_grad()
            torch.autograd.backward(losses["discriminator"])
            self.discriminator_adam.step()
        self.codec_adam.step()
        return {name: loss.item() for name, loss in (losses | {"commitment": commitment}).items()}

    def _reconstruct(self, real: Tensor, bandwidth_kbps: float) -> tuple[Tensor, Tensor]:
        """The reconstruction [B, C, T] and the commitment loss []."""
        codec, scale = self.codec, None
        wav = real
        if codec.normalize:
            scale = 1e-8 + real.mean(dim=1, keepdim=True).pow(2).mean(dim=2, keepdim=True).sqrt()
            wav = real / scale
        result = codec.quantizer(codec.encoder(wav), codec.frame_rate, bandwidth_kbps)
        decoded: Tensor = codec.decoder(result.quantized)[..., : real.shape[-1]]
        return decoded if scale is None else decoded * scale, result.penalty

    def _judge(self, wav: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Logits and feature maps by scale; the channels of an item are judged separately."""
        judged: tuple[list[Tensor], list[list[Tensor]]] = self.discriminator(wav.flatten(0, 1).unsqueeze(1))
        return judged

    def _generator_losses(self, real: Tensor, output: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            _, real_features = self._judge(real)
        logits, features = self._judge(output)
        mel = [scale.distance(real.flatten(0, 1), output.flatten(0, 1)) for scale in self._mel_scales]
        matching = [
            functional.l1_loss(fake, true) / true.abs().mean()
            for fakes, trues in zip(features, real_features, strict=True)
            for fake, true in zip(fakes, trues, strict=True)
        ]
        return {
            "l1": functional.l1_loss(output, real),
            "mel": torch.stack(mel).mean(),
            "adversarial": torch.stack([functional.relu(1 - logit).mean() for logit in logits]).mean(),
            "feature_matching": torch.stack(matching).mean(),
        }

    def _discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        (true_logits, _), (fake_logits, _) = self._judge(real), self._judge(fake)
        return torch.stack(
            [
                functional.relu(1 - true).mean() + functional.relu(1 + false).mean()
                for true, false in zip(true_logits, fake_logits, strict=True)
            ]
        ).mean()

    def _balanced_gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """The gradient [B, C, T] at the output (section 3.4, eq. 5)."""
        decay, weights = self.settings.balancer_decay, self.settings.weights
        total = torch.zeros_like(output)
        for name, weight in weights.items():
            (gradient,) = torch.autograd.grad(losses[name], [output], retain_graph=True)
            gradient = gradient * len(output)  # of the item's own loss: see `LossBalancer`
            norm = float(gradient.norm(dim=(1, 2)).mean())
            weighted_sum, count = self._averages[name]
            self._averages[name] = decay * weighted_sum + norm, decay * count + 1
            average = self._averages[name][0] / self._averages[name][1]
            total += weight / sum(weights.values()) * gradient / (average + 1e-12)
        return total


class _MelScale:
    """Mel spectrograms of one window length, the window and the filters made once."""

    def __init__(self, sample_rate_hz: int, window_length: int, num_mels: int, low_hz: float) -> None:
        self.window_length = window_length
        self.window = torch.hann_window(window_length)
        self.normalizer = self.window.norm()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
            filters = mel_filterbank(window_length // 2 + 1, num_mels, sample_rate_hz, low_hz)
        self.filters = filters.T.contiguous()

    def distance(self, real: Tensor, fake: Tensor) -> Tensor:
        with torch.no_grad():
            true = self._spectrogram(real)
        false = self._spectrogram(fake)
        logs = torch.log10(1e-5 + true), torch.log10(1e-5 + false)
        return functional.l1_loss(false, true) + functional.mse_loss(*logs)

    def _spectrogram(self, rows: Tensor) -> Tensor:
        hop = self.window_length // 4
        reflected = (self.window_length - hop) // 2
        padded = functional.pad(rows, (reflected, reflected), mode="reflect")
        padded = functional.pad(padded, (0, -rows.shape[-1] % hop))
        spectrum = torch.stft(
            padded, self.window_length, hop, window=self.window, center=False, return_complex=True
        )
        powers: Tensor = (spectrum / self.normalizer).abs().pow(2)
        return self.filters @ powers


def _reference_codec(reference: ModuleType, codec: EncodecModel) -> Any:
    build = getattr(reference.EncodecModel, f"encodec_model_{codec.sample_rate // 1000}khz")
    twin = build(pretrained=False)
    twin.load_state_dict(codec.state_dict())
    return twin.train()


def _reference_discriminator(reference: ModuleType, discriminator: MultiScaleStftDiscriminator) -> Any:
    """The reference's discriminator of the same scales and weights; its first convolutions are not weight-normed."""
    package = importlib.import_module(f"{reference.__name__}.msstftd")
    windows = discriminator.window_lengths
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.nn.utils.weight_norm is deprecated
        twin = package.MultiScaleSTFTDiscriminator(
            filters=discriminator.num_filters,
            n_ffts=windows,
            hop_lengths=[window // 4 for window in windows],
            win_lengths=windows,
        )
    state = twin.state_dict()
    mine = discriminator.state_dict()
    for name, value in mine.items():
        theirs = reference_parameter(name)
        if theirs in state:
            state[theirs] = value
        elif name.endswith("weight_v"):
            norm = value.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            state[theirs.removesuffix("_v")] = mine[name.removesuffix("v") + "g"] * value / norm
    twin.load_state_dict(state)
    return twin.train()


def reference_parameter(name: str) -> str:
    """The reference's name of a parameter of `MultiScaleStftDiscriminator`."""
    path, kind = name.replace("scales.", "discriminators.").replace("logits_conv", "conv_post").rsplit(".", 1)
    return f"{path}.conv.{kind}"
