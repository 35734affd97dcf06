"""The EnCodec model (arXiv 2210.13438, section 3): SEANet encoder, residual vector quantiser, SEANet decoder."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from encodec_lab.models import segments
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.pretrained import load_published_weights
from encodec_lab.modules.seanet import SeanetDecoder, SeanetEncoder
from encodec_lab.quantization.residual_vq import QuantizedLatent, ResidualVectorQuantizer
from encodec_lab.types import EncodedFrame

_MIN_SCALE = 1e-8


class TrainingPass(NamedTuple):
    """What `EncodecModel.forward_for_training` gives.

    Attributes:
        reconstruction: [B, C, T].
        latent: what the quantiser made of the encoder's output.
    """

    reconstruction: Tensor
    latent: QuantizedLatent


class EncodecModel(nn.Module):
    """A codec between waveforms [B, C, T] at `sample_rate` and codes [B, K, L].

    The state dict has exactly the reference implementation's keys and shapes.

    Attributes:
        config: what the codec was built from.
        name: what streams of this codec call their model.
        sample_rate: in Hz.
        channels: 1 or 2.
        target_bandwidths: supported bandwidths in kbps, ascending.
        bandwidth: the one in use, in kbps; the highest to begin with.
        hop_length: samples per latent frame.
        frame_rate: latent frames per second.
        bits_per_codebook: bits of one code.
        normalize: whether segments are divided by their RMS.
        segment_length: samples of a segment, or None for a codec that takes recordings whole.
        segment_stride: samples from the start of a segment to the start of the next, or None.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.name = config.name
        self.sample_rate = config.sample_rate_hz
        self.channels = config.channels
        self.target_bandwidths = list(config.bandwidths)
        self.bandwidth = config.bandwidths[-1]
        self.hop_length = config.hop_length
        self.frame_rate = config.frame_rate_hz
        self.bits_per_codebook = config.bits_per_codebook
        self.normalize = config.normalize
        self.segment_length: int | None = None
        self.segment_stride: int | None = None
        if config.segment_s is not None:
            self.segment_length = int(config.segment_s * config.sample_rate_hz)
            self.segment_stride = max(1, int((1 - config.segment_overlap) * self.segment_length))
        self.encoder = SeanetEncoder(config.seanet_shape)
        self.quantizer = ResidualVectorQuantizer(
            config.num_codebooks, config.codebook_size, config.latent_dim
        )
        self.decoder = SeanetDecoder(config.seanet_shape)

    @staticmethod
    def encodec_model_24khz(pretrained: bool = True, repository: str | Path | None = None) -> "EncodecModel":
        """The published causal 24 kHz mono model, in evaluation mode; see `published_model`."""
        return published_model(ENCODEC_24KHZ, pretrained, repository)

    @staticmethod
    def encodec_model_48khz(pretrained: bool = True, repository: str | Path | None = None) -> "EncodecModel":
        """The published 48 kHz stereo model, in evaluation mode; see `published_model`."""
        return published_model(ENCODEC_48KHZ, pretrained, repository)

    def num_codebooks_for(self, bandwidth_kbps: float) -> int:
        """How many codebooks a supported bandwidth uses.

        Raises:
            ValueError: the codec does not support the bandwidth.
        """
        if bandwidth_kbps not in self.target_bandwidths:
            supported = ", ".join(f"{kbps:g}" for kbps in self.target_bandwidths)
            raise ValueError(
                f"{self.name} does not support a bandwidth of {bandwidth_kbps} kbps; choose one of {supported}"
            )
        return self.config.num_codebooks_for(bandwidth_kbps)

    def set_target_bandwidth(self, bandwidth: float) -> None:
        """Choose the bandwidth, in kbps, that `encode` uses from now on.

        Raises:
            ValueError: the codec does not support the bandwidth.
        """
        self.num_codebooks_for(bandwidth)
        self.bandwidth = float(bandwidth)

    def encode(self, wav: Tensor) -> list[EncodedFrame]:
        """Encode [B, C, T] at the bandwidth in use: one frame per segment, one in all for a codec without segments.

        Raises:
            ValueError: the shape is not [B, C, T] with this codec's channels and at least one sample.
        """
        if wav.dim() != 3 or wav.shape[1] != self.channels or wav.shape[-1] == 0:
            raise ValueError(
                f"{self.name} takes waveforms of shape [batch, {self.channels}, samples], "
                f"got {list(wav.shape)}; see convert_audio"
            )
        if self.segment_length is None or self.segment_stride is None:
            return [self._encode_segment(wav)]
        return [
            self._encode_segment(part) for part in segments.cut(wav, self.segment_length, self.segment_stride)
        ]

    def decode(self, frames: Sequence[EncodedFrame | tuple[Tensor, Tensor | None]]) -> Tensor:
        """Decode what `encode` gave to [B, C, T'], with T' at least the T that was encoded.

        Raises:
            ValueError: no frames, or several for a codec without segments.
        """
        if not frames or (self.segment_stride is None and len(frames) > 1):
            wanted = "one frame" if self.segment_stride is None else "at least one frame"
            raise ValueError(f"{self.name} decodes {wanted}, got {len(frames)}")
        decoded = [self._decode_segment(codes, scale) for codes, scale in frames]
        return (
            decoded[0] if self.segment_stride is None else segments.overlap_add(decoded, self.segment_stride)
        )

    def forward(self, wav: Tensor) -> Tensor:
        """Encode and decode [B, C, T] to [B, C, T]."""
        return self.decode(self.encode(wav))[..., : wav.shape[-1]]

    def forward_for_training(self, wav: Tensor, num_codebooks: int, draw_seed: int) -> TrainingPass:
        """Encode and decode crops [B, C, T], of one segment at most, with gradients; codebooks learn in training mode.

        Args:
            wav: [B, C, T].
            num_codebooks: how many codebooks to use.
            draw_seed: see `ResidualVectorQuantizer.quantize_for_training`.

        Raises:
            ValueError: the crops are longer than a segment.
        """
        if self.segment_length is not None and wav.shape[-1] > self.segment_length:
            raise ValueError(
                f"crops of {wav.shape[-1]} samples are longer than a segment of {self.name}, {self.segment_length}"
            )
        normalized, scale = self._normalize(wav)
        latent = self.quantizer.quantize_for_training(self.encoder(normalized), num_codebooks, draw_seed)
        reconstruction: Tensor = self.decoder(latent.quantized)[..., : wav.shape[-1]]
        if scale is not None:
            reconstruction = reconstruction * scale.unsqueeze(2)
        return TrainingPass(reconstruction, latent)

    def _normalize(self, wav: Tensor) -> tuple[Tensor, Tensor | None]:
        """Divide [B, C, T] by the RMS of its mono mix, if this codec does; returns it with the scale [B, 1]."""
        if not self.normalize:
            return wav, None
        mono = wav.mean(dim=1, keepdim=True)
        scale = _MIN_SCALE + mono.pow(2).mean(dim=2, keepdim=True).sqrt()
        return wav / scale, scale.view(-1, 1)

    def _encode_segment(self, wav: Tensor) -> EncodedFrame:
        normalized, scale = self._normalize(wav)
        latent = self.encoder(normalized)
        return EncodedFrame(self.quantizer.encode(latent, self.num_codebooks_for(self.bandwidth)), scale)

    def _decode_segment(self, codes: Tensor, scale: Tensor | None) -> Tensor:
        wav: Tensor = self.decoder(self.quantizer.decode(codes))
        return wav if scale is None else wav * scale.view(-1, 1, 1)


@torch.no_grad()
def published_model(config: CodecConfig, pretrained: bool, repository: str | Path | None) -> EncodecModel:
    """Build one of the two published architectures.

    Args:
        config: `ENCODEC_24KHZ` or `ENCODEC_48KHZ`.
        pretrained: load Meta's weights, from the torch.hub cache or the network; else random weights.
        repository: a folder that holds the weights' files, to read them from there.

    Raises:
        ValueError: a repository is given without `pretrained`, or the weights cannot be had.
    """
    if repository is not None and not pretrained:
        raise ValueError(f"repository {repository} is only read with pretrained=True")
    model = EncodecModel(config if pretrained else dataclasses.replace(config, name="unset"))
    if pretrained:
        model.load_state_dict(load_published_weights(config.name, repository))
    return model.eval()
