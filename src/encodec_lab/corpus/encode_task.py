"""What a worker does: encode some recordings and store what came of them, each file whole or not at all."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from encodec_lab.bitstream.stream_writer import encode_recording, write_blocks
from encodec_lab.bitstream.v1_layout import SourceAudio
from encodec_lab.corpus.inputs import CorpusInput
from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.data.audio_blocks import AudioBlocks
from encodec_lab.data.code_shards import CODES_FORMAT, CodedRecording, CodeEntry, write_code_shard
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import module_identity
from encodec_lab.models.registry import load_model

ECDC_SUFFIX = ".ecdc"
FORMATS = ("ecdc", CODES_FORMAT)

_BLOCK_S = 5.0
# Of codes that wait in memory for their shard; a shard is about as large at most.
_SHARD_BYTES = 1 << 26


@dataclass(frozen=True)
class EncodingSettings:
    """What decides the outputs.

    Attributes:
        model: what `load_model` takes.
        output: folder.
        format: "ecdc" or "codes".
        bandwidth_kbps: that the model supports.
        lm: whether to entropy code with the model's language model; for "ecdc" alone.
        device: that encodes.
    """

    model: str
    output: Path
    format: str
    bandwidth_kbps: float
    lm: bool
    device: str


@dataclass(frozen=True)
class Encoded:
    """An input has been encoded, but may not be stored yet."""

    name: str
    audio_s: float


@dataclass(frozen=True)
class Failed:
    """An input cannot be encoded."""

    name: str
    reason: str


@dataclass(frozen=True)
class Stored:
    """The outputs of these inputs are in place."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Stopped:
    """The worker cannot write."""

    reason: str


Outcome = Encoded | Failed | Stored | Stopped


def encode_task(settings: EncodingSettings, task: Sequence[CorpusInput]) -> Iterator[Outcome]:
    """Encode and store these inputs, on one thread.

    An input that the codec or its reader refuses is `Failed`, and costs no other.
    """
    torch.set_num_threads(1)
    model = prepared_model(settings)
    encode = _encode_to_shards if settings.format == CODES_FORMAT else _encode_to_streams
    try:
        yield from encode(model, settings, task)
    except OSError as error:
        yield Stopped(str(error))


@functools.lru_cache(maxsize=1)
def prepared_model(settings: EncodingSettings) -> EncodecModel:
    """The codec, at its bandwidth and on its device; loaded once in a process.

    Raises:
        ValueError: there is no such model, or it does not support the bandwidth.
    """
    model = load_model(settings.model).to(settings.device)
    model.set_target_bandwidth(settings.bandwidth_kbps)
    return model


def stream_path(output: Path, name: str) -> Path:
    """Where the stream of an input goes; the whole name is kept, so that a.wav and a.flac go to different places."""
    return output / f"{name}{ECDC_SUFFIX}"


def _encode_to_streams(
    model: EncodecModel, settings: EncodingSettings, task: Sequence[CorpusInput]
) -> Iterator[Outcome]:
    for item in task:
        target = stream_path(settings.output, item.name)
        if target.exists():  # done by a worker that died later
            yield Stored((item.name,))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            blocks = AudioBlocks(item.source, model.sample_rate, model.channels, _BLOCK_S)
            with atomic_file(target) as staged, staged.open("wb") as file:
                write_blocks(
                    file,
                    model,
                    blocks,
                    use_lm=settings.lm,
                    source=SourceAudio(blocks.info.sample_rate_hz, blocks.info.channels),
                    source_samples=blocks.info.num_samples,
                )
        except ValueError as error:
            yield Failed(item.name, str(error))
        else:
            yield Encoded(item.name, blocks.num_samples / model.sample_rate)
            yield Stored((item.name,))


def _encode_to_shards(
    model: EncodecModel, settings: EncodingSettings, task: Sequence[CorpusInput]
) -> Iterator[Outcome]:
    waiting: list[CodedRecording] = []
    for item in task:
        try:
            recording = _coded(model, item)
        except ValueError as error:
            yield Failed(item.name, str(error))
            continue
        waiting.append(recording)
        yield Encoded(item.name, recording.entry.num_samples / model.sample_rate)
        if sum(one.codes.nbytes for one in waiting) >= _SHARD_BYTES:
            yield _stored(settings.output, waiting)
            waiting = []
    if waiting:
        yield _stored(settings.output, waiting)


def _stored(output: Path, recordings: Sequence[CodedRecording]) -> Stored:
    write_code_shard(output, recordings)
    return Stored(tuple(recording.entry.path for recording in recordings))


def _coded(model: EncodecModel, item: CorpusInput) -> CodedRecording:
    item.name.encode()  # ValueError for a name that safetensors cannot hold
    blocks = AudioBlocks(item.source, model.sample_rate, model.channels, _BLOCK_S)
    frames = list(encode_recording(model, blocks))
    codes = (
        torch.cat([frame.codes[0] for frame in frames], dim=-1).to("cpu", torch.int16).contiguous().numpy()
    )
    entry = CodeEntry(
        path=item.name,
        model=model.name,
        identity=module_identity(model),
        num_codebooks=codes.shape[0],
        num_frames=codes.shape[1],
        num_samples=blocks.num_samples,
        segment_frames=(
            None if model.segment_length is None else [frame.codes.shape[-1] for frame in frames]
        ),
        scales=[float(frame.scale) for frame in frames if frame.scale is not None] or None,
    )
    return CodedRecording(entry, codes)
