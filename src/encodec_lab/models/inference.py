"""The form of a codec for inference on a CPU: the same codes, several times as fast, in constant memory.

    codec = InferenceCodec(model)
    frames = codec.encode(wav)   # as model.encode(wav)
    wav = codec.decode(frames)   # as model.decode(frames)

Networks have their weights laid out once and take a recording in pieces of about a second, whose activations stay in
the processor's cache; the pieces' lengths hang on nothing but the codec, so that a recording gives the same codes
however it comes. An LSTM waits for several pieces, or takes several segments side by side, since each step of it reads
all its weights. Sums are grouped otherwise than in the model's own `encode`, so that a code may differ where two
entries are equally near but for rounding, and then the codes of that frame in the codebooks after it.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from encodec_lab.models import segments
from encodec_lab.models.background import in_background
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.packed_networks import PackedNetworks, packed_networks
from encodec_lab.models.streaming import can_stream
from encodec_lab.modules.streaming import StreamingSequence
from encodec_lab.types import EncodedFrame

# Measured on one core: with more the activations leave the cache, with fewer the calls take as long as the work.
_PIECE_SAMPLES = 24_000
# oneDNN lays an LSTM's weights out anew for every call, which takes as long as some five steps.
_LSTM_FRAMES = 600
_LSTM_SEGMENTS = 8
# Freed at once and never touched; see `_keep_freed_memory`.
_LARGEST_FREED_BYTES = 31 << 20

Pieces = Generator[Tensor, None, None]


class InferenceCodec:
    """A codec with the weights that it has now; makes no gradients.

    Args:
        model: on a CPU; what it is called, its bandwidth and its quantiser are used as they are at each call.
        in_threads: run stages of the networks side by side in threads, on successive pieces. The results are the same.
    """

    def __init__(self, model: EncodecModel, in_threads: bool = False) -> None:
        self.model = model
        self._networks: PackedNetworks = packed_networks(model)
        self._in_threads = in_threads
        _keep_freed_memory()

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
        self.model.check_num_frames(len(frames))
        return torch.cat(list(self.decode_pieces(frames)), dim=-1)

    @torch.no_grad()
    def encode_pieces(self, pieces: Iterable[Tensor]) -> Iterator[EncodedFrame]:
        """Frames of a recording that comes in pieces [B, C, T] of any length, one sample at least in all.

        A frame is a segment, or some of the codes [B, K, L] of a codec that can stream, or all of any other.
        """
        num_codebooks = self.model.num_codebooks_for(self.model.bandwidth)
        if self.model.segment_length is not None and self.model.segment_stride is not None:
            cut = segments.cut_blocks(pieces, self.model.segment_length, self.model.segment_stride)
            yield from self._encode_segments(cut, num_codebooks)
        elif can_stream(self.model.config):
            size = self.model.hop_length * self._piece_frames
            stages = self._chained(_time_major(_of_length(pieces, size)), self._networks.encoder)
            latents = self._chained(_gathered(stages, _LSTM_FRAMES), self._networks.encoder_end)
            for latent in latents:
                if latent.shape[1]:
                    yield EncodedFrame(self._networks.codebooks.encode(latent, num_codebooks), None)
        else:
            yield from self._encode_segments(iter([torch.cat(list(pieces), dim=-1)]), num_codebooks)

    @torch.no_grad()
    def decode_pieces(
        self, frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]]
    ) -> Iterator[Tensor]:
        """Samples [B, C, T] of a recording's frames, of which at least one; see `encode_pieces`."""
        stride = self.model.segment_stride
        if stride is None and can_stream(self.model.config):
            latents = self._latents(_of_length((codes for codes, _ in frames), _LSTM_FRAMES))
            started = self._chained(latents, self._networks.decoder_start)
            for wav in self._chained(_of_length(started, self._piece_frames, axis=1), self._networks.decoder):
                yield wav.transpose(1, 2)
            return
        decoded = self._decode_segments(frames)
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

    def _staged(self, pieces: Pieces) -> Iterator[Tensor]:
        return in_background(pieces) if self._in_threads else pieces

    def _chained(self, pieces: Iterator[Tensor], sections: list[StreamingSequence]) -> Iterator[Tensor]:
        """The pieces [B, T, C] of a stream through the sections."""
        for section in sections:
            pieces = self._staged(_streamed(section.fresh(), pieces))
        return pieces

    def _encode_segments(self, parts: Iterator[Tensor], num_codebooks: int) -> Iterator[EncodedFrame]:
        """One frame for each of the segments [B, C, T]."""
        scales: list[Tensor | None] = []  # of the segments on their way, in order

        def normalized() -> Pieces:
            for part in parts:
                wav, scale = self.model.normalize_segment(part)
                scales.append(scale)
                yield wav.transpose(1, 2)

        latents: Iterator[Tensor] = normalized()
        for section in self._networks.encoder:
            latents = self._staged(_each(section, latents))
        for batch in _batches(latents):
            joined = torch.cat(batch)
            for section in self._networks.encoder_end:
                joined = section.fresh()(joined, True)
            codes = self._networks.codebooks.encode(joined, num_codebooks)
            for of_segment in codes.split(batch[0].shape[0]):
                yield EncodedFrame(of_segment, scales.pop(0))

    def _decode_segments(
        self, frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]]
    ) -> Iterator[Tensor]:
        """The samples [B, C, T] of each frame."""
        scales: list[Tensor | None] = []

        def started() -> Pieces:
            for batch in _batches(self._latents(_noting(frames, scales))):
                joined = torch.cat(batch)
                for section in self._networks.decoder_start:
                    joined = section.fresh()(joined, True)
                yield from joined.split(batch[0].shape[0])

        wavs: Iterator[Tensor] = self._staged(started())
        for section in self._networks.decoder:
            wavs = self._staged(_each(section, wavs))
        for wav in wavs:
            scale = scales.pop(0)
            yield wav.transpose(1, 2) if scale is None else wav.transpose(1, 2) * scale.view(-1, 1, 1)


def _noting(
    frames: Iterable[EncodedFrame | tuple[Tensor, Tensor | None]], scales: list[Tensor | None]
) -> Iterator[Tensor]:
    for codes, scale in frames:
        scales.append(scale)
        yield codes


def _streamed(stream: StreamingSequence, pieces: Iterable[Tensor]) -> Pieces:
    """What a stream makes of pieces [B, T, C], and at last what is left."""
    empty = None
    for piece in pieces:
        empty = piece[:, :0]
        yield stream(piece, False)
    if empty is not None:
        yield stream(empty, True)


def _each(section: StreamingSequence, segments: Iterable[Tensor]) -> Pieces:
    """What a section makes of segments [B, T, C], each alone."""
    for segment in segments:
        yield section.fresh()(segment, True)


def _time_major(pieces: Iterable[Tensor]) -> Pieces:
    for piece in pieces:
        yield piece.transpose(1, 2)


def _of_length(pieces: Iterable[Tensor], length: int, axis: int = -1) -> Pieces:
    """The same steps in pieces of `length`, but for the last."""
    held: Tensor | None = None
    for piece in pieces:
        held = piece if held is None else torch.cat([held, piece], dim=axis)
        *whole, held = held.split(length, dim=axis)
        yield from whole
    if held is not None:
        yield held


def _gathered(pieces: Iterable[Tensor], length: int) -> Pieces:
    """Pieces [B, T, C] joined until they have `length` steps or more."""
    held: list[Tensor] = []
    for piece in pieces:
        held.append(piece)
        if sum(part.shape[1] for part in held) >= length:
            yield torch.cat(held, dim=1)
            held = []
    if held:
        yield torch.cat(held, dim=1)


def _batches(segments: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Segments [B, T, C] in order, up to `_LSTM_SEGMENTS` of one length at a time."""
    batch: list[Tensor] = []
    for segment in segments:
        if batch and (len(batch) == _LSTM_SEGMENTS or segment.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(segment)
    if batch:
        yield batch


def _keep_freed_memory() -> None:
    """Free a large block of memory, unused.

    From the largest block that has been freed glibc learns which sizes to keep for the next allocation instead of giving
    them back to the system, which would then clear their pages again and again: for segments of 48 kHz that took a
    tenth of the time. It costs nothing, since untouched pages do not exist.
    """
    torch.empty(_LARGEST_FREED_BYTES, dtype=torch.uint8)
