"""The EnCodec model (arXiv 2210.13438, section 3): SEANet encoder, residual vector quantiser, SEANet decoder."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from encodec_lab.models import segments
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.lm_source import AnyLM, LMSource
from encodec_lab.models.pretrained import load_published_weights
from encodec_lab.models.streaming import StreamingDecoder, StreamingEncoder
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
        name: what streams of this codec call their model, `config.name`.
        sample_rate: in Hz.
        channels: 1 or 2.
        target_bandwidths: supported bandwidths in kbps, ascending.
        device: where the weights are.
        bandwidth: the one in use, in kbps; the highest to begin with.
        hop_length: samples per latent frame.
        frame_rate: latent frames per second.
        bits_per_codebook: bits of one code.
        normalize: whether segments are divided by their RMS.
        segment_length: samples of a segment, or None for a codec that takes recordings whole.
        segment_stride: samples from the start of a segment to the start of the next, or None.
        lm_source: where `get_lm_model` gets the language model from.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = config.sample_rate_hz
        self.channels = config.channels
        self.target_bandwidths = list(config.bandwidths)
        self.bandwidth = config.bandwidths[-1]
        self.hop_length = config.hop_length
        self.frame_rate = config.frame_rate_hz
        self.bits_per_codebook = config.bits_per_codebook
        self.normalize = config.normalize
        self.segment_length = config.segment_length
        self.segment_stride = config.segment_stride
        self.encoder = SeanetEncoder(config.seanet_shape)
        self.quantizer = ResidualVectorQuantizer(
            config.num_codebooks, config.codebook_size, config.latent_dim
        )
        self.decoder = SeanetDecoder(config.seanet_shape)
        self.lm_source = LMSource()

    @staticmethod
    def encodec_model_24khz(pretrained: bool = True, repository: str | Path | None = None) -> "EncodecModel":
        """The published causal 24 kHz mono model, in evaluation mode; see `published_model`."""
        return published_model(ENCODEC_24KHZ, pretrained, repository)

    @staticmethod
    def encodec_model_48khz(pretrained: bool = True, repository: str | Path | None = None) -> "EncodecModel":
        """The published 48 kHz stereo model, in evaluation mode; see `published_model`."""
        return published_model(ENCODEC_48KHZ, pretrained, repository)

    @property
    def name(self) -> str:
        return self.config.name

    @name.setter
    def name(self, name: str) -> None:
        self.config = dataclasses.replace(self.config, name=name)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

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

    @contextmanager
    def at_bandwidth(self, bandwidth_kbps: float) -> Iterator[None]:
        """Within the block `encode` uses this bandwidth; raises as `set_target_bandwidth`."""
        before = self.bandwidth
        self.set_target_bandwidth(bandwidth_kbps)
        try:
            yield
        finally:
            self.bandwidth = before

    def encode(self, wav: Tensor) -> list[EncodedFrame]:
        """Encode [B, C, T] at the bandwidth in use: one frame per segment, one in all for a codec without segments.

        Raises:
            ValueError: the shape is not [B, C, T] with this codec's channels and at least one sample.
        """
        wav = self.checked(wav)
        if self.segment_length is None or self.segment_stride is None:
            return [self.encode_segment(wav)]
        return [
            self.encode_segment(part) for part in segments.cut(wav, self.segment_length, self.segment_stride)
        ]

    def decode(self, frames: Sequence[EncodedFrame | tuple[Tensor, Tensor | None]]) -> Tensor:
        """Decode what `encode` gave to [B, C, T'], with T' at least the T that was encoded.

        Raises:
            ValueError: no frames, or several for a codec without segments; codes that are no entries of the codebooks.
        """
        self.check_num_frames(len(frames))
        decoded = [self.decode_segment(codes, scale) for codes, scale in frames]
        return (
            decoded[0] if self.segment_stride is None else segments.overlap_add(decoded, self.segment_stride)
        )

    def checked(self, wav: Tensor) -> Tensor:
        """The waveforms themselves; ValueError unless they are [B, C, T] with this codec's channels and a sample."""
        if wav.dim() != 3 or wav.shape[1] != self.channels or wav.shape[-1] == 0:
            raise ValueError(
                f"{self.name} takes waveforms of shape [batch, {self.channels}, samples], "
                f"got {list(wav.shape)}; see convert_audio"
            )
        return wav

    def check_num_frames(self, num_frames: int) -> None:
        """ValueError unless `decode` takes so many frames."""
        if num_frames == 0 or (self.segment_stride is None and num_frames > 1):
            wanted = "one frame" if self.segment_stride is None else "at least one frame"
            raise ValueError(f"{self.name} decodes {wanted}, got {num_frames}")

    def get_lm_model(self) -> AnyLM:
        """The language model that entropy codes this codec's streams, on the codec's device; loaded once.

        For Meta's two codecs it is the one that Meta published; for an export, the one that lies in its folder.

        Raises:
            NoLanguageModel: a ValueError, this codec has none.
            WeightsError: a ValueError, Meta's cannot be had.
        """
        return self.lm_source.get(self.name).to(self.device)

    def streaming_encoder(self) -> StreamingEncoder:
        """An encoder, at the bandwidth now in use, that takes audio as it comes; ValueError if the codec cannot."""
        return StreamingEncoder(
            self.config, self.encoder, self.quantizer, self.num_codebooks_for(self.bandwidth)
        )

    def streaming_decoder(self) -> StreamingDecoder:
        """A decoder that takes codes as they come; ValueError if the codec cannot."""
        return StreamingDecoder(self.config, self.decoder, self.quantizer)

    def forward(self, wav: Tensor) -> Tensor:
        """Encode and decode [B, C, T] to [B, C, T]."""
        return self.decode(self.encode(wav))[..., : wav.shape[-1]]

    def forward_for_training(
        self, wav: Tensor, num_codebooks: int, draw_seed: int, may_start: bool = True
    ) -> TrainingPass:
        """Encode and decode crops [B, C, T], of one segment at most, with gradients; codebooks learn in training mode.

        Args:
            wav: [B, C, T].
            num_codebooks: how many codebooks to use.
            draw_seed: see `ResidualVectorQuantizer.quantize_for_training`, as for `may_start`.

        Raises:
            ValueError: the crops are longer than a segment.
        """
        if self.segment_length is not None and wav.shape[-1] > self.segment_length:
            raise ValueError(
                f"crops of {wav.shape[-1]} samples are longer than a segment of {self.name}, {self.segment_length}"
            )
        normalized, scale = self.normalize_segment(wav)
        latent = self.quantizer.quantize_for_training(
            self.encoder(normalized), num_codebooks, draw_seed, may_start
        )
        reconstruction: Tensor = self.decoder(latent.quantized)[..., : wav.shape[-1]]
        if scale is not None:
            reconstruction = reconstruction * scale.unsqueeze(2)
        return TrainingPass(reconstruction, latent)

    def normalize_segment(self, wav: Tensor) -> tuple[Tensor, Tensor | None]:
        """Divide [B, C, T] by the RMS of its mono mix, if this codec does; returns it with the scale [B, 1]."""
        if not self.normalize:
            return wav, None
        mono = wav.mean(dim=1, keepdim=True)
        scale = _MIN_SCALE + mono.pow(2).mean(dim=2, keepdim=True).sqrt()
        return wav / scale, scale.view(-1, 1)

    def encode_segment(self, wav: Tensor) -> EncodedFrame:
        """Encode [B, C, T] in one piece, at the bandwidth in use."""
        normalized, scale = self.normalize_segment(wav)
        latent = self.encoder(normalized)
        return EncodedFrame(self.quantizer.encode(latent, self.num_codebooks_for(self.bandwidth)), scale)

    def decode_segment(self, codes: Tensor, scale: Tensor | None) -> Tensor:
        """Decode what `encode_segment` gave: codes [B, K, L] and scale [B, 1] to [B, C, L * hop_length]."""
        wav: Tensor = self.decoder(self.quantizer.decode(codes))
        return wav if scale is None else wav * scale.view(-1, 1, 1)


@torch.no_grad()
def published_model(config: CodecConfig, pretrained: bool, repository: str | Path | None) -> EncodecModel:
    """Build one of the two published architectures.

    Args:
        config: `ENCODEC_24KHZ` or `ENCODEC_48KHZ`.
        pretrained: load Meta's weights, from the torch.hub cache or the network; else random weights.
        repository: a folder that holds the weights' files, to read them from there, now and for `get_lm_model`.

    Raises:
        ValueError: a repository is given without `pretrained`, or the weights cannot be had.
    """
    if repository is not None and not pretrained:
        raise ValueError(f"repository {repository} is only read with pretrained=True")
    model = EncodecModel(config if pretrained else dataclasses.replace(config, name="unset"))
    if pretrained:
        model.load_state_dict(load_published_weights(config.name, repository))
        model.lm_source = LMSource(repository=repository)
    return model.eval()
