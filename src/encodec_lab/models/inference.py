"""The form of a codec for inference on a CPU: the same codes in half of the time or less, in constant memory.

    codec = InferenceCodec(model)
    frames = codec.encode(wav)   # as model.encode(wav)
    wav = codec.decode(frames)   # as model.decode(frames)

Networks have their weights laid out once and take a recording in pieces of about a second, whose activations stay in
the processor's cache; the pieces' lengths hang on nothing but the codec, so that a recording gives the same codes
however it comes, and on any number of threads. An LSTM waits for several pieces, or takes several segments side by
side, since each step of it reads all its weights. Sums are grouped otherwise than in the model's own `encode`, so that
a code may differ where two entries are equally near but for rounding, and then the codes of that frame in the codebooks
after it.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from encodec_lab.models import segments
from encodec_lab.models.background import in_background
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.ordered_workers import Turn, mapped
from encodec_lab.models.packed_networks import (
    PackedDecoder,
    PackedEncoder,
    packed_decoder,
    packed_encoder,
)
from encodec_lab.models.regrouping import Pieces, batches, joined, pieces_of, sizes, time_major
from encodec_lab.models.streaming import can_stream
from encodec_lab.modules.streaming import StreamingSequence
from encodec_lab.types import EncodedFrame

# Measured on one core: with more the activations leave the cache, with fewer the calls take as long as the work.
_PIECE_SAMPLES = 24_000
# The more frames at a time, the less its lanes spend on guessing their states.
_LSTM_FRAMES = 2400
_LSTM_SEGMENTS = 8


class InferenceCodec:
    """A codec with the weights that it has when a recording begins, in constant memory; makes no gradients.

    Args:
        model: on a CPU; what it is called, its bandwidth and its quantiser are used as they are at each call.
        num_threads: to work in side by side, on successive pieces; with one, in the caller's. The results are the same.
    """

    def __init__(self, model: EncodecModel, num_threads: int = 1) -> None:
        self.model = model
        self._num_threads = num_threads

    @torch.no_grad()
    def encode(self, wav: Tensor) -> list[EncodedFrame]:
        """As `EncodecModel.encode`, of [B, C, T]."""
        frames = list(self.encode_pieces([self.model.checked(wav)]))
        if self.model.segment_length is None:
            return [EncodedFrame(torch.cat([codes for codes, _ in frames], dim=-1), frames[0].scale)]
        return frames

    @torch.no_grad()
    def decode(self, frames: Sequence[EncodedFrame | tuple[Tensor, Tensor | None]]) -> Tensor:
        """As `EncodecModel.decode`, to [B, C, T']."""
        if self.model.segment_stride is None:
            self.model.check_num_frames(len(frames))
        return torch.cat(list(self.decode_pieces(frames)), dim=-1)

    @torch.no_grad()
    def encode_pieces(self, pieces: Iterable[Tensor]) -> Iterator[EncodedFrame]:
        """Frames of a recording that comes in pieces [B, C, T] of any length, one sample at least in all.

        A frame is a segment, or some of the codes [B, K, L] of a codec that can stream, or all of any other. The pieces
        are taken as they are: see `checked_blocks`.
        """
        num_codebooks = self.model.num_codebooks_for(self.model.bandwidth)
        encoder = packed_encoder(self.model)
        if self.model.segment_length is not None and self.model.segment_stride is not None:
            cut = segments.cut_blocks(pieces, self.model.segment_length, self.model.segment_stride)
            yield from self._encode_segments(cut, encoder, num_codebooks)
        elif can_stream(self.model.config):
            even = pieces_of(pieces, sizes(self.model.hop_length * self._piece_frames, False), axis=2)
            features = self._streamed_by_layers(time_major(even), encoder.before_lstm)
            for latent in _streamed(encoder.lstm_on, joined(features, _LSTM_FRAMES)):
                if latent.shape[1]:
                    yield EncodedFrame(encoder.codebooks.encode(latent, num_codebooks), None)
        else:
            yield from self._encode_segments(iter([torch.cat(list(pieces), dim=-1)]), encoder, num_codebooks)

    @torch.no_grad()
    def decode_pieces(
        self, frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]], prompt: bool = False
    ) -> Iterator[Tensor]:
        """Samples [B, C, T], T > 0, of a recording's frames as `encode_pieces` gives them, of seconds at most.

        With `prompt` the first samples come after some seconds of frames, and no later than 16 s after theirs, at
        more work; else the frames are read further ahead.

        Raises:
            ValueError: no frames, or several for a codec that neither can stream nor has segments; codes that are no
                entries of the codebooks.
        """
        wavs = self._decode_pieces(_some_frames(self.model, frames), prompt)
        yield from (wav for wav in wavs if wav.shape[-1])

    def _decode_pieces(
        self, frames: Iterator[EncodedFrame | tuple[Tensor, Tensor | None]], prompt: bool
    ) -> Iterator[Tensor]:
        stride = self.model.segment_stride
        decoder = packed_decoder(self.model)
        if stride is None and can_stream(self.model.config):
            latents = self._latents(
                pieces_of((codes for codes, _ in frames), sizes(_LSTM_FRAMES, prompt), axis=2)
            )
            started = self._ahead(_streamed(decoder.to_lstm, latents))
            even = pieces_of(started, sizes(self._piece_frames, False), axis=1)
            for wav in self._streamed_by_layers(even, decoder.after_lstm):
                yield wav.transpose(1, 2)
            return
        decoded = self._decode_segments(frames, decoder, prompt)
        if stride is None:
            yield from decoded
            return
        adder = segments.OverlapAdder(stride)
        for segment in decoded:
            yield adder.push(segment)
        yield adder.flush()

    @property
    def _piece_frames(self) -> int:
        return -(-_PIECE_SAMPLES // self.model.hop_length)

    def _latents(self, codes: Iterable[Tensor]) -> Pieces:
        for part in codes:
            yield self.model.quantizer.decode(part).transpose(1, 2)

    def _ahead(self, pieces: Pieces) -> Pieces:
        """The pieces, made in a thread of their own if there are to be several."""
        return in_background(pieces) if self._num_threads > 1 else pieces

    def _streamed_by_layers(self, pieces: Iterable[Tensor], network: StreamingSequence) -> Pieces:
        """The pieces [B, T, C] of a stream through a network, successive ones in successive layers at a time."""
        layers = network.fresh().layers

        def pass_through(piece: tuple[Tensor, bool], turn: Turn) -> Tensor:
            x, is_last = piece
            for place, layer in enumerate(layers):
                with turn.at(place):
                    x = layer(x, is_last)
            return x

        return mapped(_ended(pieces), pass_through, self._num_threads)

    def _mapped_segments(self, segments: Pieces, network: StreamingSequence) -> Pieces:
        """The segments [B, T, C] through a network, each by itself."""
        return mapped(segments, lambda segment, _: network.fresh()(segment, True), self._num_threads)

    def _encode_segments(
        self, parts: Iterator[Tensor], encoder: PackedEncoder, num_codebooks: int
    ) -> Iterator[EncodedFrame]:
        """One frame for each of the segments [B, C, T]."""
        scales: list[Tensor | None] = []  # of the segments on their way, in order

        def normalized() -> Pieces:
            for part in parts:
                wav, scale = self.model.normalize_segment(part)
                scales.append(scale)
                yield wav.transpose(1, 2)

        features = self._mapped_segments(normalized(), encoder.before_lstm)
        for batch in batches(features, sizes(_LSTM_SEGMENTS, False)):
            latent = encoder.lstm_on.fresh()(torch.cat(batch), True)
            codes = encoder.codebooks.encode(latent, num_codebooks)
            for of_segment in torch.split(codes, batch[0].shape[0]):
                yield EncodedFrame(of_segment, scales.pop(0))

    def _decode_segments(
        self,
        frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]],
        decoder: PackedDecoder,
        prompt: bool,
    ) -> Iterator[Tensor]:
        """The samples [B, C, T] of each frame."""
        scales: list[Tensor | None] = []

        def started_segments() -> Pieces:
            latents = self._latents(_noting(frames, scales))
            for batch in batches(latents, sizes(_LSTM_SEGMENTS, prompt)):
                started = decoder.to_lstm.fresh()(torch.cat(batch), True)
                yield from torch.split(started, batch[0].shape[0])

        for wav in self._mapped_segments(self._ahead(started_segments()), decoder.after_lstm):
            scale = scales.pop(0)
            yield wav.transpose(1, 2) if scale is None else wav.transpose(1, 2) * scale.view(-1, 1, 1)


def _some_frames(
    model: EncodecModel, frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]]
) -> Iterator[EncodedFrame | tuple[Tensor, Tensor | None]]:
    """The frames; ValueError if there are none, or more than the codec can have."""
    num_frames = 0
    takes_many = model.segment_stride is not None or can_stream(model.config)
    for frame in frames:
        num_frames += 1
        if not takes_many:
            model.check_num_frames(num_frames)
        yield frame
    if num_frames == 0:
        model.check_num_frames(0)


def _noting(
    frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]], scales: list[Tensor | None]
) -> Iterator[Tensor]:
    for codes, scale in frames:
        scales.append(scale)
        yield codes


def _ended(pieces: Iterable[Tensor]) -> Generator[tuple[Tensor, bool], None, None]:
    """The pieces [B, T, C] of a stream, and at last an empty one; with each, whether it is that one."""
    empty = None
    for piece in pieces:
        empty = piece[:, :0]
        yield piece, False
    if empty is not None:
        yield empty, True


def _streamed(network: StreamingSequence, pieces: Iterable[Tensor]) -> Pieces:
    """What a network makes of the pieces [B, T, C] of a stream, and at last what is left."""
    stream = network.fresh()
    for piece, is_last in _ended(pieces):
        yield stream(piece, is_last)
