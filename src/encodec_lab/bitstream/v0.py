"""The `.ecdc` format version 0: byte for byte the one of the reference implementation, without language model.

    offset  size  field
    0       4     magic: the ASCII letters ECDC
    4       1     version: 0
    5       4     size H of the header in bytes, unsigned, big-endian
    9       H     header: a JSON object with the keys
                  m   name of the model
                  al  audio length in samples at the model's rate
                  nc  number of codebooks K
                  lm  whether the codes are entropy coded with the language model
    9 + H         one block per segment of the model; a model without segments has a single one:
          4         scale, big-endian float32; only if the model normalises its input
          S         codes [L, K], time-major, packed by `entropy.bit_packing`; S = ceil(L * K * bits / 8)

with L = ceil(samples of the segment / hop length). Nothing else delimits the blocks, and nothing protects them: the
format has no checksum and no identity of the weights. The reader therefore believes no number of the header before
the size of the payload that follows from it equals the size of the payload that is there.
"""

import json
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from encodec_lab.entropy.bit_packing import pack_bits, packed_size, unpack_bits
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EcdcError, EncodedFrame

MAGIC = b"ECDC"
VERSION = 0
MAX_HEADER_BYTES = 4096
_PREAMBLE = struct.Struct("!4sBI")
_SCALE = struct.Struct("!f")

Value = TypeVar("Value")


@dataclass(frozen=True)
class StreamHeader:
    """What a stream says about itself."""

    model_name: str
    num_samples: int
    num_codebooks: int
    uses_lm: bool


def write_stream(model: EncodecModel, num_samples: int, frames: Sequence[EncodedFrame]) -> bytes:
    """The stream of one recording of `num_samples` that `model` encoded into `frames`, one [1, K, L] per segment.

    Raises ValueError for a model whose name makes the header longer than the reader accepts.
    """
    num_codebooks = frames[0].codes.shape[1]
    fields = {"m": model.name, "al": num_samples, "nc": num_codebooks, "lm": False}
    header = json.dumps(fields).encode()
    if len(header) > MAX_HEADER_BYTES:
        raise ValueError(f"the model's name is too long for a stream: {len(model.name)} characters")
    stream = bytearray(_PREAMBLE.pack(MAGIC, VERSION, len(header)) + header)
    for codes, scale in frames:
        if scale is not None:
            stream += _SCALE.pack(scale.item())
        time_major = codes[0].t().reshape(-1)  # [L * K]
        stream += pack_bits(time_major.cpu().numpy(), model.bits_per_codebook)
    return bytes(stream)


def read_header(data: bytes) -> tuple[StreamHeader, int]:
    """The header of a stream, and the offset at which its payload starts; EcdcError if it is none of format v0."""
    if len(data) < _PREAMBLE.size:
        raise EcdcError(f"the stream ends after {len(data)} bytes; its first {_PREAMBLE.size} say what it is")
    magic, version, header_size = _PREAMBLE.unpack_from(data)
    if magic != MAGIC:
        raise EcdcError(f"not an .ecdc stream: it starts with {bytes(magic)!r} instead of {MAGIC!r}")
    if version != VERSION:
        raise EcdcError(
            f"byte 4: version {version} of the .ecdc format is unknown; this program reads {VERSION}"
        )
    if header_size > MAX_HEADER_BYTES:
        raise EcdcError(f"byte 5: a header of {header_size} bytes; at most {MAX_HEADER_BYTES} are accepted")
    start = _PREAMBLE.size + header_size
    if len(data) < start:
        raise EcdcError(f"the stream ends at byte {len(data)}, within its header, which ends at byte {start}")
    return _parse_header(data[_PREAMBLE.size : start]), start


def read_frames(
    data: bytes, header: StreamHeader, payload_start: int, model: EncodecModel
) -> list[EncodedFrame]:
    """The encoded segments, on the CPU; EcdcError if the payload is not exactly what `header` and `model` entail."""
    if header.num_codebooks > model.config.num_codebooks:
        asked, most = brief(header.num_codebooks), model.config.num_codebooks
        raise EcdcError(f"header: nc is {asked}, but {model.name!r} has {most} codebooks")
    expected = _payload_size(header, model)
    found = len(data) - payload_start
    if found != expected:
        fault = "ends too soon" if found < expected else "goes on after its end"
        raise EcdcError(
            f"the stream {fault}: {brief(header.num_samples)} samples in {header.num_codebooks} codebooks take"
            f" {brief(expected)} bytes from byte {payload_start} on, found {found}"
        )
    frames = []
    view = memoryview(data)
    offset = payload_start
    for num_segment_samples in _segment_lengths(header.num_samples, model):
        scale = None
        if model.normalize:
            scale = torch.tensor([[_read_scale(view, offset)]])
            offset += _SCALE.size
        size = _codes_size(num_segment_samples, header.num_codebooks, model)
        num_frames = _num_frames(num_segment_samples, model)
        codes = unpack_bits(
            view[offset : offset + size], model.bits_per_codebook, num_frames * header.num_codebooks
        )
        time_major = torch.from_numpy(codes).view(num_frames, header.num_codebooks)
        frames.append(EncodedFrame(time_major.t()[None].contiguous(), scale))  # [1, K, L]
        offset += size
    return frames


def _parse_header(text: bytes) -> StreamHeader:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EcdcError(f"byte {_PREAMBLE.size}: the header is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise EcdcError(f"byte {_PREAMBLE.size}: the header must be a JSON object, found {brief(fields)}")
    name = _field(fields, "m", str)
    num_samples = _field(fields, "al", int)
    num_codebooks = _field(fields, "nc", int)
    for key, number in (("al", num_samples), ("nc", num_codebooks)):
        if number < 1:
            raise EcdcError(f"header: {key} is {brief(number)}; it must be at least 1")
    return StreamHeader(name, num_samples, num_codebooks, _field(fields, "lm", bool))


def _field(fields: dict[str, object], key: str, kind: type[Value]) -> Value:
    if key not in fields:
        raise EcdcError(f"header: the key {key!r} is missing")
    value = fields[key]
    if type(value) is not kind:  # not isinstance: a bool is an int
        raise EcdcError(f"header: {key} is {brief(value)}; it must be of type {kind.__name__}")
    return value


def brief(value: object) -> str:
    """The value for an error message; a hostile header can hold kilobytes."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _num_frames(num_samples: int, model: EncodecModel) -> int:
    return -(-num_samples // model.hop_length)


def _codes_size(num_segment_samples: int, num_codebooks: int, model: EncodecModel) -> int:
    return packed_size(_num_frames(num_segment_samples, model) * num_codebooks, model.bits_per_codebook)


def _num_full_segments(num_samples: int, length: int, stride: int) -> int:
    return (num_samples - length) // stride + 1 if num_samples >= length else 0


def _segment_lengths(num_samples: int, model: EncodecModel) -> Iterator[int]:
    """The samples of each segment, in order."""
    if model.segment_length is None or model.segment_stride is None:
        yield num_samples
        return
    for offset in range(0, num_samples, model.segment_stride):
        yield min(num_samples - offset, model.segment_length)


def _payload_size(header: StreamHeader, model: EncodecModel) -> int:
    """The bytes of the payload, in a time that does not depend on the length that the header claims."""
    scale_size = _SCALE.size if model.normalize else 0
    if model.segment_length is None or model.segment_stride is None:
        return scale_size + _codes_size(header.num_samples, header.num_codebooks, model)
    length, stride = model.segment_length, model.segment_stride
    num_full = _num_full_segments(header.num_samples, length, stride)
    size = num_full * (scale_size + _codes_size(length, header.num_codebooks, model))
    for num_segment_samples in _segment_lengths(
        header.num_samples - num_full * stride, model
    ):  # the shorter ones
        size += scale_size + _codes_size(num_segment_samples, header.num_codebooks, model)
    return size


def _read_scale(view: memoryview, offset: int) -> float:
    scale: float = _SCALE.unpack_from(view, offset)[0]
    if not (math.isfinite(scale) and scale > 0):
        raise EcdcError(f"byte {offset}: the scale of a segment is {scale}; it must be finite and positive")
    return scale
