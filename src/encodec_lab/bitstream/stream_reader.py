"""Streams of any version to samples."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from encodec_lab.bitstream import v0, v1_layout
from encodec_lab.bitstream.byte_source import ByteSource, ReadableBytes, brief, read_version
from encodec_lab.bitstream.code_payload import CodeCoder
from encodec_lab.bitstream.coder_choice import float_lm, make_coder
from encodec_lab.bitstream.record_layout import Record
from encodec_lab.bitstream.record_reader import RecordReader, check_header
from encodec_lab.bitstream.salvage import salvage_records
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.inference import InferenceCodec
from encodec_lab.models.long_audio import WHOLE_S, decode_frames
from encodec_lab.models.pretrained import WeightsError
from encodec_lab.models.registry import list_model_names, load_named_model
from encodec_lab.types import EcdcError, EncodedFrame


class StreamReader:
    """Reads one stream; its header is read, and its model loaded, at once.

    Args:
        file: a file, pipe or socket, open for reading bytes, which may come in any pieces.
        device: where the model that the stream names is to run, unless `load` gives it.
        model: the codec to use instead; it must be the one that made the stream, and runs where it is.
        salvage: replace records that cannot be read by silence, instead of raising.
        num_threads: for the codec on a CPU to work in; the samples are the same.
        load: gives the model of a name out of a stream when `model` is None, on the device where it is to run; the
            second argument is for its error.

    Attributes:
        model: the codec.
        source: what was compressed; unknown in version 0.
        source_samples: its length in samples per channel, 0 if unknown; known when `pieces` has ended.
        lost: start and length, in samples at the model's rate, of every record that was replaced.
        is_cut: whether the end of the stream could not be found; only when salvaging.

    Raises:
        EcdcError: for a stream that is no `.ecdc` of a known version, or was made by another or an unknown model, or
            whose header is damaged; and for `salvage` of version 0, which has no records.
        WeightsError: when the stream's model is a published one whose weights are not at hand.
    """

    def __init__(
        self,
        file: ReadableBytes,
        device: str | torch.device = "cpu",
        model: EncodecModel | None = None,
        salvage: bool = False,
        load: Callable[[str, str], EncodecModel] | None = None,
        num_threads: int = 1,
    ) -> None:
        self._num_threads = num_threads
        self._bytes = ByteSource(file)
        self._salvage = salvage
        self.source = v1_layout.SourceAudio()
        self.source_samples = 0
        self.lost: list[tuple[int, int]] = []
        self.is_cut = False
        if load is None:
            load = functools.partial(_load_to, device)
        version = read_known_version(self._bytes)
        if version == v0.VERSION:
            if salvage:
                raise EcdcError(
                    "nothing can be salvaged: version 0 has no checks by which damage could be found;"
                    " decode it without --salvage (in Python: salvage=False)"
                )
            self._v0_header: v0.StreamHeader | None = v0.read_header(self._bytes)
            self.model = _model_of_v0(self._v0_header, model, load)
        else:
            self._v0_header = None
            self._v1_header, self._seed = v1_layout.read_header(self._bytes)
            self.source = self._v1_header.source
            self.model = _model_of_v1(self._v1_header, model, load)

    def pieces(self) -> Iterator[Tensor]:
        """The samples, in pieces [C, T], T > 0, on the model's device; to be asked for once.

        Raises:
            EcdcError: the stream is damaged or cut, needs a language model that the model has not, or decodes to
                samples that are not finite.
        """
        pieces = self._pieces_of_v1() if self._v0_header is None else self._pieces_of_v0(self._v0_header)
        for piece in pieces:
            if not bool(piece.isfinite().all()):
                raise EcdcError(
                    "the stream decodes to samples that are not finite: it is damaged, or of another model"
                )
            yield piece

    @property
    def num_bytes_read(self) -> int:
        """How far the reading has come."""
        return self._bytes.offset

    def _pieces_of_v0(self, header: v0.StreamHeader) -> Iterator[Tensor]:
        payload = v0.read_payload(self._bytes, header, self.model)
        lm = None
        if header.uses_lm:
            try:
                lm = float_lm(self.model)
            except WeightsError:
                raise
            except ValueError as error:
                raise EcdcError(f"the stream was entropy coded with a language model: {error}") from error
        frames = v0.read_frames(payload, header, self.model, lm)
        if self.model.device.type != "cpu" and header.num_samples <= WHOLE_S * self.model.sample_rate:
            with torch.no_grad():
                wav = self.model.decode([self._placed(frame) for frame in frames])
            yield wav[0, :, : header.num_samples]
        else:
            yield from _cut(self._decoded(frames), header.num_samples)

    def _pieces_of_v1(self) -> Iterator[Tensor]:
        coder = coder_of_stream(self._v1_header, self.model)
        reader = RecordReader(self._bytes, self._v1_header, self._seed, self.model, coder)
        records = reader.records()
        if self._salvage:
            content = b"".join(iter(lambda: self._bytes.at_most(1 << 20), b""))
            records = salvage_records(content, reader, self._seed)
        fades = self.model.segment_length is not None and self.model.normalize  # lost segments, in and out

        def is_gap(record: Record) -> bool:
            return record.frames is None and not fades

        for gap, run in itertools.groupby(self._noted(records), is_gap):
            if gap:
                for record in run:
                    yield torch.zeros(self.model.channels, record.num_samples, device=self.model.device)
            else:
                yield from self._decoded_records(run, reader)

    def _noted(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records, while what they say about the whole is kept."""
        position = 0
        self.is_cut = True
        for record in records:
            if record.frames is None:
                self.lost.append((position, record.num_samples))
            self.source_samples = record.source_samples
            self.is_cut = not record.is_last
            position += record.num_samples
            yield record

    def _decoded_records(self, records: Iterable[Record], reader: RecordReader) -> Iterator[Tensor]:
        num_samples = 0

        def frames() -> Iterator[EncodedFrame]:
            nonlocal num_samples
            for record in records:
                num_samples += record.num_samples
                yield from reader.silence(record) if record.frames is None else record.frames

        position = 0
        for piece in self._decoded(frames()):
            kept = piece[:, : num_samples - position]  # the last frame may go on after the last sample
            position += kept.shape[-1]
            if kept.shape[-1]:
                yield kept

    def _decoded(self, frames: Iterable[EncodedFrame]) -> Iterator[Tensor]:
        if self.model.device.type != "cpu":
            return decode_frames(self.model, frames)
        codec = InferenceCodec(self.model, self._num_threads)
        return (piece[0] for piece in codec.decode_pieces(frames, prompt=True))

    def _placed(self, frame: EncodedFrame) -> EncodedFrame:
        codes, scale = frame
        on = self.model.device
        return EncodedFrame(codes.to(on), None if scale is None else scale.to(on))


def read_known_version(source: ByteSource) -> int:
    """The version of a stream; EcdcError if this program does not read it."""
    version = read_version(source)
    if version not in (v0.VERSION, v1_layout.VERSION):
        raise EcdcError(
            f"byte 4: version {version} of the .ecdc format is unknown; this program reads"
            f" {v0.VERSION} and {v1_layout.VERSION}"
        )
    return version


def load_stream_model(name: str, identity: str = "") -> EncodecModel:
    """The model that a stream names, on the CPU; a name out of a stream is never taken for a path.

    Raises:
        EcdcError: no model goes by that name.
        WeightsError: it is a published one whose weights are not at hand.
    """
    if name not in list_model_names():
        raise EcdcError(
            f"the stream was made by model {brief(name)}{identity}, which is none of"
            f" {', '.join(list_model_names())}; name its exported folder by --model (in Python: model=)"
        )
    return load_named_model(name)


def coder_of_stream(header: v1_layout.Header, model: EncodecModel) -> CodeCoder:
    """What decodes the codes of a stream of version 1.

    Raises:
        EcdcError: the stream needs a language model that the model has not, or another one.
        WeightsError: the language model is a published one that is not at hand.
    """
    try:
        coder = make_coder(model, header.lm_identity is not None)
    except WeightsError:
        raise
    except ValueError as error:
        raise EcdcError(f"the stream was entropy coded with a language model: {error}") from error
    if coder.lm_identity != header.lm_identity:
        assert coder.lm_identity is not None
        assert header.lm_identity is not None
        raise EcdcError(
            f"the stream was entropy coded with the language model {header.lm_identity.hex()}, but the one of model"
            f" {model.name!r} is {coder.lm_identity.hex()}; name the folder of the right ones by --model"
        )
    return coder


def _load_to(device: str | torch.device, name: str, identity: str) -> EncodecModel:
    return load_stream_model(name, identity).to(device)


def _model_of_v0(
    header: v0.StreamHeader, model: EncodecModel | None, load: Callable[[str, str], EncodecModel]
) -> EncodecModel:
    if model is None:
        return load(header.model_name, "")
    if model.name != header.model_name:
        raise EcdcError(
            f"the stream was made by model {brief(header.model_name)}, but the model given is {model.name!r}"
        )
    return model


def _model_of_v1(
    header: v1_layout.Header, model: EncodecModel | None, load: Callable[[str, str], EncodecModel]
) -> EncodecModel:
    if model is None:
        model = load(header.model_name, f" with identity {header.model_identity.hex()}")
    check_header(header, model)
    return model


def _cut(pieces: Iterable[Tensor], num_samples: int) -> Iterator[Tensor]:
    """The first samples of the pieces."""
    for piece in pieces:
        if num_samples > 0:
            yield piece[:, :num_samples]
        num_samples -= piece.shape[-1]
