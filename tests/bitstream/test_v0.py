"""Format v0: exact bytes, and a reader that believes nothing."""

import dataclasses
import io
import json
import struct
import time
import tracemalloc

import pytest
import torch
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav

from encodec_lab.bitstream import v0
from encodec_lab.bitstream.byte_source import ByteSource, read_version
from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.models import segments
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EcdcError, EncodedFrame


def _stream(payload: bytes, header: object = None, **changes: object) -> bytes:
    """A stream with a correct preamble; `changes` to the header of 640 samples in two codebooks of SMALL_24KHZ."""
    fields = {"m": "small_24khz", "al": 640, "nc": 2, "lm": False} | changes
    text = json.dumps(fields if header is None else header).encode()
    return b"ECDC" + struct.pack("!BI", 0, len(text)) + text + payload


def _payload_start(stream: bytes) -> int:
    return 9 + int.from_bytes(stream[5:9], "big")


def _random_frames(model: EncodecModel, num_samples: int, num_codebooks: int) -> list[EncodedFrame]:
    parts = [torch.zeros(1, 1, num_samples)]
    if model.segment_length is not None and model.segment_stride is not None:
        parts = segments.cut(parts[0], model.segment_length, model.segment_stride)
    frames = []
    for part in parts:
        num_frames = -(-part.shape[-1] // model.hop_length)
        codes = torch.randint(model.config.codebook_size, (1, num_codebooks, num_frames))
        frames.append(EncodedFrame(codes, torch.rand(1, 1) + 0.1 if model.normalize else None))
    return frames


def test_exact_bytes() -> None:
    model = random_codec(SMALL_24KHZ)
    codes = torch.tensor([[[1, 3, 5], [2, 4, 63]]])  # [B, K, L], 6 bits each
    stream = v0.write_stream(model, 700, [EncodedFrame(codes, None)])
    header = b'{"m": "small_24khz", "al": 700, "nc": 2, "lm": false}'
    bits = sum(code << (6 * place) for place, code in enumerate([1, 2, 3, 4, 5, 63]))
    assert stream == b"ECDC\0\0\0\0" + bytes([len(header)]) + header + bits.to_bytes(5, "little")


@pytest.mark.parametrize(
    "num_samples", [1, 319, 320, 321, 47_519, 47_520, 47_521, 48_000, 48_001, 95_519, 95_520, 143_041]
)
@pytest.mark.parametrize("num_codebooks", [2, 4])
def test_reader_gives_back_what_was_written(
    codec: EncodecModel, num_samples: int, num_codebooks: int
) -> None:
    frames = _random_frames(codec, num_samples, num_codebooks)
    stream = v0.write_stream(codec, num_samples, frames)
    source = ByteSource(io.BytesIO(stream))
    assert read_version(source) == v0.VERSION
    header = v0.read_header(source)
    assert header == v0.StreamHeader(codec.name, num_samples, num_codebooks, uses_lm=False)
    assert source.offset == _payload_start(stream)
    read = v0.read_frames(v0.read_payload(source, header, codec), header, codec)
    assert len(read) == len(frames)
    for (codes, scale), (read_codes, read_scale) in zip(frames, read, strict=True):
        assert torch.equal(codes, read_codes)
        assert scale is None or (read_scale is not None and torch.equal(scale, read_scale))


BAD_HEADERS = {
    "no JSON": (b"{", "the header is not JSON"),
    "no UTF-8": (b'{"m": "\xff"}', "the header is not JSON"),
    "a bomb of brackets": (b"[" * 4000, "the header is not JSON"),
    "a bomb of digits": (b'{"al": 1' + b"0" * 4050 + b"}", "the key 'm' is missing"),
    "no object": (b"[1, 2]", "must be a JSON object"),
    "a key missing": (b'{"m": "small_24khz", "al": 640, "nc": 2}', "the key 'lm' is missing"),
}


@pytest.mark.parametrize(("text", "message"), BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_bad_headers(text: bytes, message: str) -> None:
    with pytest.raises(EcdcError, match=message):
        decompress(b"ECDC" + struct.pack("!BI", 0, len(text)) + text, model=random_codec(SMALL_24KHZ))


BAD_FIELDS = [
    ({"m": 5}, "m is 5; it must be of type str"),
    ({"m": "x" * 4000}, r"made by model 'xxx.*xxx\.\.\., but the model given"),
    ({"al": "640"}, "al is '640'; it must be of type int"),
    ({"al": 640.0}, "al is 640.0; it must be of type int"),
    ({"al": True}, "al is True; it must be of type int"),
    ({"al": 0}, "al is 0; it must be at least 1"),
    ({"al": -1}, "al is -1"),
    ({"al": 10**15}, "samples in 2 codebooks take"),
    ({"al": 10**4000}, "samples in 2 codebooks take"),
    ({"nc": 0}, "nc is 0; it must be at least 1"),
    ({"nc": 14}, "nc is 14, but the bandwidths of 'small_24khz' take 2, 4, 13 codebooks"),
    ({"nc": 3}, "nc is 3, but the bandwidths of 'small_24khz' take 2, 4, 13 codebooks"),
    ({"nc": 10**4000}, "but the bandwidths of 'small_24khz' take"),
    ({"nc": None}, "nc is None"),
    ({"lm": 0}, "lm is 0; it must be of type bool"),
    ({"lm": True}, "language model"),
    ({"m": "small_48khz"}, "made by model 'small_48khz', but the model given is 'small_24khz'"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_FIELDS)
def test_bad_fields(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EcdcError, match=message) as caught:
        decompress(_stream(bytes(3), **changes), model=random_codec(SMALL_24KHZ))
    assert len(str(caught.value)) < 300


def test_a_good_stream_by_hand_is_read() -> None:
    wav, sample_rate = decompress(_stream(bytes(3)), model=random_codec(SMALL_24KHZ))
    assert (list(wav.shape), sample_rate) == ([1, 640], 24_000)


def test_preamble() -> None:
    model = random_codec(SMALL_24KHZ)
    for data, message in [
        (b"", "ends after 0 bytes"),
        (b"RIFF\0\0\0\0\0\0\0", "not an .ecdc stream"),
        (b"ECDC\x07\0\0\0\0\0\0", "version 7"),
        (b"ECDC\0\xff\xff\xff\xff", "a header of 4294967295 bytes"),
        (b"ECDC\0\0\0\0\x20{}", "within its header"),
    ]:
        with pytest.raises(EcdcError, match=message):
            decompress(data, model=model)


def test_payload_must_have_the_very_size_that_the_header_entails() -> None:
    model = random_codec(SMALL_24KHZ)
    with pytest.raises(
        EcdcError, match="goes on after its end: 640 samples in 2 codebooks take 3 bytes from byte 62 on"
    ):
        decompress(_stream(bytes(4)), model=model)
    with pytest.raises(EcdcError, match="ends too soon.* take 3 bytes from byte 62 on, found 2"):
        decompress(_stream(bytes(2)), model=model)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_scales(scale: float) -> None:
    codec = random_codec(SMALL_48KHZ)
    stream = bytearray(compress(codec, random_wav(2, 960), format="v0"))
    start = _payload_start(stream)
    stream[start : start + 4] = struct.pack("!f", scale)
    with pytest.raises(EcdcError, match=f"payload byte 0: the scale of a segment is {scale}"):
        decompress(bytes(stream), model=codec)


def test_a_header_cannot_make_the_reader_allocate_or_loop(codec: EncodecModel) -> None:
    hostile = [_stream(bytes(100), m=codec.name, al=al) for al in (10**9, 2**63, 10**30, 10**4000)]
    tracemalloc.start()
    start_s = time.monotonic()
    for stream in hostile:
        with pytest.raises(EcdcError):
            decompress(stream, model=codec)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000
    assert time.monotonic() - start_s < 1


def test_truncation_at_every_byte(codec: EncodecModel) -> None:
    stream = compress(codec, random_wav(codec.channels, 48_321 if codec.normalize else 3_210), format="v0")
    step = 1 if len(stream) < 1_000 else 7
    for size in range(0, len(stream), step):
        with pytest.raises(EcdcError):
            decompress(stream[:size], model=codec)


def _decompress_or_none(data: bytes, model: EncodecModel) -> torch.Tensor | None:
    """None for an EcdcError; any other error is a failure of the test."""
    try:
        return decompress(data, model=model)[0]
    except EcdcError:
        return None


def test_flipped_bits_and_random_bytes_give_audio_or_an_ecdc_error(codec: EncodecModel) -> None:
    stream = compress(codec, random_wav(codec.channels, 1_000), format="v0")
    payload_start = _payload_start(stream)
    draws = torch.Generator().manual_seed(1)
    hostile = []
    for bit in range(8 * payload_start):
        flipped = bytearray(stream)
        flipped[bit // 8] ^= 1 << (bit % 8)
        hostile.append(bytes(flipped))
    for _ in range(200):
        noise = torch.randint(256, (int(torch.randint(200, (1,), generator=draws)),), generator=draws)
        noise_bytes = bytes(noise.tolist())
        hostile += [noise_bytes, b"ECDC\0" + noise_bytes, stream[:payload_start] + noise_bytes]
    num_refused = 0
    for data in hostile:
        wav = _decompress_or_none(data, codec)
        num_refused += wav is None
        assert wav is None or wav.isfinite().all()
    assert num_refused > 0.9 * len(hostile)


def test_a_name_too_long_for_the_reader_is_not_written() -> None:
    model = random_codec(dataclasses.replace(SMALL_24KHZ, name="x" * 5000))
    with pytest.raises(ValueError, match="name is too long"):
        compress(model, random_wav(1, 320), format="v0")
