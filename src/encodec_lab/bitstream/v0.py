"""The `.ecdc` format version 0: byte for byte the one of the reference implementation.

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
          S         codes [L, K], time-major; without language model packed by `entropy.bit_packing`, and then
                    S = ceil(L * K * bits / 8); with it, coded by `entropy.arithmetic_coder`, and then the decoder alone
                    tells S. Each block starts the language model and the coder anew.

with L = ceil(samples of the segment / hop length). Nothing else delimits the blocks, and nothing protects them: the
format has no checksum and no identity of the weights. The reader therefore believes no number of the header before the
bytes that are there could hold what it claims, and reads no further than the longest stream that it allows.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from encodec_lab.bitstream.byte_source import MAGIC, ByteSource, brief
from encodec_lab.bitstream.scale import SCALE_BYTES, pack_scale, unpack_scale
from encodec_lab.bitstream.v0_lm import SteppedLM, decode_codes, encode_codes
from encodec_lab.entropy.arithmetic_coder import CorruptDataError, coded_size_bounds
from encodec_lab.entropy.bit_packing import pack_bits, packed_size, unpack_bits
from encodec_lab.models import segments
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EcdcError, EncodedFrame

VERSION = 0
MAX_HEADER_BYTES = 4096
_PREAMBLE = struct.Struct("!4sBI")
_HEADER_SIZE = struct.Struct("!I")

Value = TypeVar("Value")


@dataclass(frozen=True)
class StreamHeader:
    """What a stream says about itself."""

    model_name: str
    num_samples: int
    num_codebooks: int
    uses_lm: bool


def write_stream(
    model: EncodecModel, num_samples: int, frames: Sequence[EncodedFrame], lm: SteppedLM | None = None
) -> bytes:
    """The stream of one recording of `num_samples` that `model` encoded into `frames`, one [1, K, L] per segment.

    Raises:
        ValueError: the model's name makes the header longer than the reader accepts, or the language model is not one
            for these codes.
    """
    num_codebooks = frames[0].codes.shape[1]
    fields = {"m": model.name, "al": num_samples, "nc": num_codebooks, "lm": lm is not None}
    header = json.dumps(fields).encode()
    if len(header) > MAX_HEADER_BYTES:
        raise ValueError(f"the model's name is too long for a stream: {len(model.name)} characters")
    stream = bytearray(_PREAMBLE.pack(MAGIC, VERSION, len(header)) + header)
    for codes, scale in frames:
        if scale is not None:
            stream += pack_scale(scale)
        if lm is None:
            time_major = codes[0].t().reshape(-1)  # [L * K]
            stream += pack_bits(time_major.cpu().numpy(), model.bits_per_codebook)
        else:
            stream += encode_codes(lm, codes, model.config.codebook_size)
    return bytes(stream)


def read_header(source: ByteSource) -> StreamHeader:
    """The header, from a source whose version has been read; EcdcError if it is malformed."""
    (size,) = _HEADER_SIZE.unpack(source.exactly(_HEADER_SIZE.size, "the size of the header"))
    if size > MAX_HEADER_BYTES:
        raise EcdcError(f"byte 5: a header of {size} bytes; at most {MAX_HEADER_BYTES} are accepted")
    return _parse_header(source.exactly(size, "its header"))


def read_payload(source: ByteSource, header: StreamHeader, model: EncodecModel) -> bytes:
    """All that follows the header.

    Raises:
        EcdcError: the header asks for what the model has not, or the payload cannot be what it entails. Without
            language model it then has the right size; with one this is known only when it is decoded.
    """
    _check_codebooks(header, model)
    start = source.offset
    payload = source.at_most(_payload_bounds(header, model)[1] + 1)
    check_payload_size(len(payload), start, header, model)
    return payload


def check_payload_size(size: int, start: int, header: StreamHeader, model: EncodecModel) -> None:
    """Raise EcdcError unless the payload that starts at byte `start` can have so many bytes; `model` may be on meta."""
    _check_codebooks(header, model)
    fewest, most = _payload_bounds(header, model)
    claim = f"{brief(header.num_samples)} samples in {header.num_codebooks} codebooks take"
    if size < fewest:
        at_least = "at least " if header.uses_lm else ""
        raise EcdcError(
            f"the stream ends too soon: {claim} {at_least}{brief(fewest)} bytes from byte {start} on,"
            f" found {size}"
        )
    if size > most:
        at_most = "at most " if header.uses_lm else ""
        raise EcdcError(
            f"the stream goes on after its end: {claim} {at_most}{brief(most)} bytes from byte {start} on"
        )


def _check_codebooks(header: StreamHeader, model: EncodecModel) -> None:
    offered = model.config.codebook_choices
    if header.num_codebooks not in offered:
        raise EcdcError(
            f"header: nc is {brief(header.num_codebooks)}, but the bandwidths of {model.name!r} take"
            f" {', '.join(map(str, offered))} codebooks"
        )


def read_frames(
    payload: bytes, header: StreamHeader, model: EncodecModel, lm: SteppedLM | None = None
) -> list[EncodedFrame]:
    """The encoded segments in a payload that `read_payload` gave, on the CPU.

    Raises:
        EcdcError: a scale is impossible, or the codes cannot be decoded with this language model.
        ValueError: the language model is not one for the model's codes.
    """
    assert header.uses_lm == (lm is not None)
    frames: list[EncodedFrame] = []
    view = memoryview(payload)
    for num_segment_samples in _segment_lengths(header.num_samples, model):
        scale = None
        if model.normalize:
            where = f"payload byte {len(payload) - len(view)}"
            if len(view) < SCALE_BYTES:
                raise EcdcError(f"the stream ends too soon: no scale of a segment at {where}")
            scale = unpack_scale(view[:SCALE_BYTES], where)
            view = view[SCALE_BYTES:]
        shape = (header.num_codebooks, model.config.num_frames(num_segment_samples))
        if lm is None:
            size = _codes_size(num_segment_samples, header.num_codebooks, model)
            packed = unpack_bits(view[:size], model.bits_per_codebook, math.prod(shape))
            codes = torch.from_numpy(packed).view(shape[::-1]).t()[None].contiguous()  # [1, K, L]
        else:
            try:
                codes, size = decode_codes(lm, view, shape, model.config.codebook_size, model.device)
            except CorruptDataError as error:
                raise EcdcError(
                    f"segment {len(frames)}, from payload byte {len(payload) - len(view)} on: {error};"
                    " the stream is cut, damaged, or of another language model"
                ) from error
        frames.append(EncodedFrame(codes, scale))
        view = view[size:]
    if len(view) > 0:
        raise EcdcError(
            f"the codes end {len(view)} bytes before the stream: it is damaged, or of another language model"
        )
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


def _codes_size(num_segment_samples: int, num_codebooks: int, model: EncodecModel) -> int:
    return packed_size(model.config.num_frames(num_segment_samples) * num_codebooks, model.bits_per_codebook)


def _segment_lengths(num_samples: int, model: EncodecModel) -> Iterator[int]:
    if model.segment_length is None or model.segment_stride is None:
        return iter([num_samples])
    return segments.lengths(num_samples, model.segment_length, model.segment_stride)


def _payload_bounds(header: StreamHeader, model: EncodecModel) -> tuple[int, int]:
    """The fewest and the most bytes of the payload; the same without language model."""
    scale_size = SCALE_BYTES if model.normalize else 0

    def fewest(num_segment_samples: int) -> int:
        return scale_size + _codes_size_bounds(num_segment_samples, header, model)[0]

    def most(num_segment_samples: int) -> int:
        return scale_size + _codes_size_bounds(num_segment_samples, header, model)[1]

    return _sum_over_segments(fewest, header.num_samples, model), _sum_over_segments(
        most, header.num_samples, model
    )


def _codes_size_bounds(
    num_segment_samples: int, header: StreamHeader, model: EncodecModel
) -> tuple[int, int]:
    if header.uses_lm:
        num_codes = model.config.num_frames(num_segment_samples) * header.num_codebooks
        return coded_size_bounds(num_codes, model.config.codebook_size)
    size = _codes_size(num_segment_samples, header.num_codebooks, model)
    return size, size


def _sum_over_segments(size_of: Callable[[int], int], num_samples: int, model: EncodecModel) -> int:
    """Sum of a size that depends on the samples of a segment, in a time that does not depend on `num_samples`."""
    if model.segment_length is None or model.segment_stride is None:
        return size_of(num_samples)
    num_full = max(0, (num_samples - model.segment_length) // model.segment_stride + 1)
    shorter = _segment_lengths(num_samples - num_full * model.segment_stride, model)
    return num_full * size_of(model.segment_length) + sum(map(size_of, shorter))
