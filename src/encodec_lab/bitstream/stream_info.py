"""What a stream says about itself, without its model."""

import dataclasses
from dataclasses import dataclass

import torch

from encodec_lab.bitstream import v0, v1_layout
from encodec_lab.bitstream.byte_source import ByteSource, ReadableBytes, brief
from encodec_lab.bitstream.record_order import read_in_order
from encodec_lab.bitstream.stream_reader import read_known_version
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.registry import PUBLISHED_CONFIGS
from encodec_lab.types import EcdcError

# More than a century at any sample rate.
_LONGEST_SAMPLES = 1 << 50


@dataclass(frozen=True)
class StreamInfo:
    """What a stream says about itself; None is unknown.

    Attributes:
        format: "v0" or "v1".
        model: name of the model that made it.
        model_identity: the first 8 bytes of the hash of the model's tensors, in hex.
        uses_lm: whether the codes are entropy coded with a language model.
        lm_identity: likewise of that.
        num_codebooks: K.
        sample_rate_hz: the model's.
        num_samples: of the recording, at that rate.
        duration_s: its length.
        num_bytes: of the stream.
        kbps: what it takes.
        num_records: of version 1.
        source_sample_rate_hz: of what was compressed.
        source_channels: likewise.
        source_samples: likewise, per channel.
        damage: what is wrong with it, or None. Version 0 has no checks: there only
            the size is compared with what the header says, and that for published models alone.
    """

    format: str
    model: str
    model_identity: str | None
    uses_lm: bool
    lm_identity: str | None
    num_codebooks: int
    sample_rate_hz: int | None
    num_samples: int | None
    duration_s: float | None
    num_bytes: int
    kbps: float | None
    num_records: int | None
    source_sample_rate_hz: int | None
    source_channels: int | None
    source_samples: int | None
    damage: str | None


def inspect_stream(file: ReadableBytes) -> StreamInfo:
    """Read a whole stream and check what can be checked.

    Raises:
        EcdcError: it is no stream, or its header cannot be read.
    """
    source = ByteSource(file)
    if read_known_version(source) == v0.VERSION:
        return _inspect_v0(source)
    return _inspect_v1(source)


def _inspect_v0(source: ByteSource) -> StreamInfo:
    header = v0.read_header(source)
    start = source.offset
    _read_to_end(source)
    if header.num_samples > _LONGEST_SAMPLES:
        raise EcdcError(f"header: al is {brief(header.num_samples)}; no recording is that long")
    config = PUBLISHED_CONFIGS.get(header.model_name)
    damage = None
    if config is not None:
        with torch.device("meta"):  # its shapes tell how long a payload is
            model = EncodecModel(config)
        try:
            v0.check_payload_size(source.offset - start, start, header, model)
        except EcdcError as error:
            damage = str(error)
    info = StreamInfo(
        format="v0",
        model=header.model_name,
        model_identity=None,
        uses_lm=header.uses_lm,
        lm_identity=None,
        num_codebooks=header.num_codebooks,
        sample_rate_hz=None if config is None else config.sample_rate_hz,
        num_samples=header.num_samples,
        duration_s=None,
        num_bytes=source.offset,
        kbps=None,
        num_records=None,
        source_sample_rate_hz=None,
        source_channels=None,
        source_samples=None,
        damage=damage,
    )
    return _with_rates(info)


def _inspect_v1(source: ByteSource) -> StreamInfo:
    header, seed = v1_layout.read_header(source)
    num_records = num_samples = source_samples = 0
    damage = None

    def skip(head: v1_layout.RecordHead, head_bytes: bytes) -> tuple[None, bytes]:
        return None, v1_layout.skip_payload(source, head, head_bytes, seed)

    try:
        for head, _ in read_in_order(source, seed, header.record_samples, skip):
            num_records += 1
            num_samples += head.num_samples
            source_samples = head.source_samples
    except EcdcError as error:
        damage = str(error)
    _read_to_end(source)
    info = StreamInfo(
        format="v1",
        model=header.model_name,
        model_identity=header.model_identity.hex(),
        uses_lm=header.lm_identity is not None,
        lm_identity=None if header.lm_identity is None else header.lm_identity.hex(),
        num_codebooks=header.num_codebooks,
        sample_rate_hz=header.sample_rate_hz,
        num_samples=num_samples,
        duration_s=None,
        num_bytes=source.offset,
        kbps=None,
        num_records=num_records,
        source_sample_rate_hz=header.source.sample_rate_hz or None,
        source_channels=header.source.channels or None,
        source_samples=source_samples or None,
        damage=damage,
    )
    return _with_rates(info)


def _with_rates(info: StreamInfo) -> StreamInfo:
    if not info.sample_rate_hz or not info.num_samples:
        return info
    duration_s = info.num_samples / info.sample_rate_hz
    return dataclasses.replace(info, duration_s=duration_s, kbps=8 * info.num_bytes / duration_s / 1000)


def _read_to_end(source: ByteSource) -> None:
    while source.at_most(1 << 20):
        pass
