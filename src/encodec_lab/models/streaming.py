"""Encoding and decoding while the audio is still coming in, for causal codecs."""

import torch
from torch import Tensor

from encodec_lab.models.config import CodecConfig
from encodec_lab.modules.seanet import SeanetDecoder, SeanetEncoder
from encodec_lab.modules.streaming import StreamingSequence
from encodec_lab.quantization.residual_vq import ResidualVectorQuantizer


def can_stream(config: CodecConfig) -> bool:
    """Whether a codec's frames depend on the past alone: it is causal, has no segments and does not normalise."""
    return config.causal and config.segment_s is None and not config.normalize


class StreamingEncoder:
    """Samples in pieces of any length to codes, in all the same as the codec's `encode` gives on the whole.

    The reflect padding at the start makes the first frames wait for each other: nothing comes out before the last
    convolution has as many frames as its kernel has taps (7 frames, 93 ms, in the published 24 kHz codec). From then on
    a frame comes out with its last sample: the delay is that of one frame (13 ms).

    Sums are grouped otherwise than offline, so that a code may differ where two entries are equally near but for
    rounding (and then the codes of that frame in the codebooks after it).

    It refers to the codec's weights, with weight normalisation folded in once: after a change of weights (or of the
    codec's device), make a new one.
    """

    def __init__(
        self,
        config: CodecConfig,
        encoder: SeanetEncoder,
        quantizer: ResidualVectorQuantizer,
        num_codebooks: int,
    ) -> None:
        _check_can_stream(config)
        self._channels = config.channels
        self._latent_dim = config.latent_dim
        self._encoder = StreamingSequence(encoder.model)
        self._quantizer = quantizer
        self._num_codebooks = num_codebooks
        self._entry_norms = quantizer.entry_norms()
        self._progress = _Progress("encoder")

    @torch.no_grad()
    def push(self, samples: Tensor) -> Tensor:
        """Take the next samples [B, C, T], T >= 0; the codes [B, K, L] that they complete, L >= 0.

        Raises:
            ValueError: another shape, another B than before, or the stream has been ended by `flush`.
        """
        if samples.dim() != 3 or samples.shape[1] != self._channels:
            raise ValueError(
                f"push takes samples of shape [batch, {self._channels}, samples], got {list(samples.shape)}"
            )
        self._progress.admit(samples)
        return self._quantize(self._encoder(samples.transpose(1, 2), is_last=False))

    @torch.no_grad()
    def flush(self) -> Tensor:
        """End the stream; the codes [B, K, L] of what is left (B is 0 if nothing was pushed).

        Raises:
            ValueError: the stream has been ended before.
        """
        like = self._progress.end()
        if like is None:
            return torch.zeros(0, self._num_codebooks, 0, dtype=torch.long)
        return self._quantize(self._encoder(like.transpose(1, 2), is_last=True))

    def _quantize(self, latent: Tensor) -> Tensor:
        """Codes [B, K, L] of [B, L, D]."""
        if latent.shape[1] == 0:
            shape = (latent.shape[0], self._num_codebooks, 0)
            return torch.zeros(shape, dtype=torch.long, device=latent.device)
        return self._quantizer.encode(latent.transpose(1, 2), self._num_codebooks, self._entry_norms)


class StreamingDecoder:
    """Codes in pieces of any length to samples, in all the same as the codec's `decode` gives on the whole.

    As in `StreamingEncoder`, the reflect padding of the first convolution makes the first frames wait for each other (7
    in the published 24 kHz codec). From then on every frame gives its samples (320) at once: the transposed
    convolutions of a causal codec are trimmed at the end only, so that no frame reaches back before its own first
    sample.
    """

    def __init__(
        self, config: CodecConfig, decoder: SeanetDecoder, quantizer: ResidualVectorQuantizer
    ) -> None:
        _check_can_stream(config)
        self._channels = config.channels
        self._decoder = StreamingSequence(decoder.model)
        self._quantizer = quantizer
        self._progress = _Progress("decoder")

    @torch.no_grad()
    def push(self, codes: Tensor) -> Tensor:
        """Take the next codes [B, K, L], L >= 0; the samples [B, C, T] that they complete, T >= 0.

        Raises:
            ValueError: another shape, another B than before, codes that are no entries of the codebooks, or the stream
                has been ended by `flush`.
        """
        if codes.dim() != 3:
            raise ValueError(f"push takes codes of shape [batch, codebooks, frames], got {list(codes.shape)}")
        self._progress.admit(codes)
        return self._decode(codes, is_last=False)

    @torch.no_grad()
    def flush(self) -> Tensor:
        """End the stream; the samples [B, C, T] of what is left (B is 0 if nothing was pushed).

        Raises:
            ValueError: the stream has been ended before.
        """
        like = self._progress.end()
        if like is None:
            return torch.zeros(0, self._channels, 0)
        return self._decode(like, is_last=True)

    def _decode(self, codes: Tensor, is_last: bool) -> Tensor:
        latent = self._quantizer.decode(codes).transpose(1, 2)
        return self._decoder(latent, is_last).transpose(1, 2)


class _Progress:
    """How far a stream has come.

    Attributes:
        empty: [B, ., 0] like what has been pushed, or None before the first push.
        ended: whether `flush` has been called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.empty: Tensor | None = None
        self.ended = False

    def admit(self, pushed: Tensor) -> None:
        """Check the next piece."""
        if self.ended:
            raise ValueError(f"this {self._name}'s stream has been ended by flush(); make a new {self._name}")
        if self.empty is None:
            self.empty = pushed[..., :0].clone()
        elif pushed.shape[0] != self.empty.shape[0]:
            raise ValueError(
                f"this {self._name}'s stream began with a batch of {self.empty.shape[0]}, got one of "
                f"{pushed.shape[0]}"
            )

    def end(self) -> Tensor | None:
        """Mark the end; gives `empty`."""
        if self.ended:
            raise ValueError(f"this {self._name}'s stream has been ended by flush() already")
        self.ended = True
        return self.empty


def _check_can_stream(config: CodecConfig) -> None:
    if can_stream(config):
        return
    reason = (
        "is not causal"
        if not config.causal
        else "codes in segments"
        if config.segment_s is not None
        else "divides whole recordings by their RMS"
    )
    raise ValueError(
        f"{config.name} {reason}, so it cannot stream; a causal codec without segments can, such as encodec_24khz"
    )
