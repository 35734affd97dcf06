"""Streams coded with a language model: the reference's bytes in both directions, and streams that lie."""

import dataclasses
import io
import json
import random
import struct
import sys
import time
import tracemalloc
from pathlib import Path
from types import ModuleType

import pytest
import torch
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav
from small_lm import random_lm, reference_twin, small_lm_config
from torch import Tensor, nn

from encodec_lab.bitstream.compress import compress, compress_to_file, decompress, decompress_from_file
from encodec_lab.data.audio_file import read_whole
from encodec_lab.data.convert import convert_audio
from encodec_lab.entropy.arithmetic_coder import RANGE_BITS
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, ENCODEC_LM_48KHZ, LMConfig, LMModel
from encodec_lab.types import EcdcError

PUBLISHED = {
    "encodec_24khz": (ENCODEC_24KHZ, ENCODEC_LM_24KHZ),
    "encodec_48khz": (ENCODEC_48KHZ, ENCODEC_LM_48KHZ),
}
CLIPS = {
    "speech": "test/speech/en_ljspeech_f_00.flac",
    "music": "test/music/mdn_lofi_00.flac",
}


def _attach(codec: EncodecModel, lm: nn.Module) -> EncodecModel:
    codec.get_lm_model = lambda: lm  # type: ignore[method-assign,assignment,return-value]
    return codec


def _codec_with_lm(codec_config: CodecConfig, lm_config: LMConfig | None = None) -> EncodecModel:
    codec = random_codec(codec_config, seed=2)
    return _attach(codec, random_lm(lm_config or small_lm_config(codec_config)))


class Reference:
    """The reference's functions, made to work on one codec of ours and the twin of its language model."""

    def __init__(self, codec: EncodecModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.codec = codec
        self.stand_in = random_codec(codec.config)
        self.stand_in.load_state_dict(codec.state_dict())
        _attach(self.stand_in, reference_twin(codec.get_lm_model()))
        models = {codec.name: lambda: self.stand_in}
        monkeypatch.setattr(sys.modules["encodec.compress"], "MODELS", models)

    def check(self, wav: Tensor, kbps: float, reads: bool = True) -> bytes:
        """Both write the same; ours reads it, and the reference too."""
        from encodec.compress import compress as reference_compress
        from encodec.compress import decompress as reference_decompress

        for model in (self.codec, self.stand_in):
            model.set_target_bandwidth(kbps)
        stream = compress(self.codec, wav, use_lm=True, format="v0")
        assert stream == reference_compress(self.stand_in, wav, use_lm=True)
        decoded, sample_rate = decompress(stream, model=self.codec)
        with torch.no_grad():
            expected = self.codec(wav[None])[0]
        torch.testing.assert_close(decoded, expected, atol=1e-5, rtol=1e-5)
        if reads:
            theirs, their_rate = reference_decompress(stream)
            assert torch.equal(theirs, expected) and their_rate == sample_rate
        return stream


def _clip(folder: Path, codec: EncodecModel, kind: str, duration_s: float) -> Tensor:
    wav, sample_rate_hz = read_whole(folder / CLIPS[kind])
    wav = convert_audio(wav, sample_rate_hz, codec.sample_rate, codec.channels)
    wav = wav.repeat(1, 3)  # the carried clips are short
    num_samples = round(duration_s * codec.sample_rate)
    assert wav.shape[-1] >= num_samples
    return wav[:, :num_samples]


@pytest.mark.parametrize("config", [SMALL_24KHZ, SMALL_48KHZ], ids=lambda config: config.name)
@pytest.mark.parametrize("num_samples", [40, 321, 9_600, 48_001])
def test_small_codecs_write_and_read_as_the_reference(
    reference_package: ModuleType, monkeypatch: pytest.MonkeyPatch, config: CodecConfig, num_samples: int
) -> None:
    codec = _codec_with_lm(config)
    reference = Reference(codec, monkeypatch)
    for kbps in codec.target_bandwidths[:2]:
        reference.check(random_wav(codec.channels, num_samples, seed=num_samples), kbps)


@pytest.mark.parametrize(
    ("name", "kind", "duration_s", "kbps"),
    [
        ("encodec_24khz", "speech", 0.5, 6.0),
        ("encodec_24khz", "music", 2.0, 1.5),
        ("encodec_48khz", "music", 1.2, 3.0),
        ("encodec_48khz", "speech", 0.5, 6.0),
    ],
)
def test_published_architectures_on_real_audio(
    reference_package: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    carried_audio: Path,
    name: str,
    kind: str,
    duration_s: float,
    kbps: float,
) -> None:
    codec = _codec_with_lm(*PUBLISHED[name])
    Reference(codec, monkeypatch).check(_clip(carried_audio, codec, kind, duration_s), kbps)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_bandwidth_up_to_ten_seconds(
    reference_package: ModuleType, monkeypatch: pytest.MonkeyPatch, carried_audio: Path, name: str
) -> None:
    codec = _codec_with_lm(*PUBLISHED[name])
    reference = Reference(codec, monkeypatch)
    durations_s = [10.0, 5.3, 3.1, 2.0, 0.5]
    for kbps, duration_s in zip(codec.target_bandwidths, durations_s, strict=False):
        for kind in CLIPS:
            reference.check(_clip(carried_audio, codec, kind, duration_s), kbps)
    reference.check(_clip(carried_audio, codec, "music", 0.7), codec.target_bandwidths[-1])


def test_exact_header_and_flag() -> None:
    codec = _codec_with_lm(SMALL_24KHZ)
    stream = compress(codec, random_wav(1, 640), use_lm=True, format="v0")
    size = int.from_bytes(stream[5:9], "big")
    assert stream[9 : 9 + size] == b'{"m": "small_24khz", "al": 640, "nc": 13, "lm": true}'


def test_every_segment_starts_the_language_model_anew() -> None:
    codec = _codec_with_lm(SMALL_48KHZ)
    first_codes = []
    lm = codec.get_lm_model()
    lm.register_forward_pre_hook(lambda _, inputs: first_codes.append((inputs[1] is None, inputs[2])))
    compress(codec, random_wav(2, 100_000), use_lm=True, format="v0")
    starts = [index for index, (no_states, offset) in enumerate(first_codes) if no_states and offset == 0]
    assert starts == [0, 150, 300]


def test_files_and_pieces() -> None:
    codec = _codec_with_lm(SMALL_24KHZ)
    wav = random_wav(1, 3_000)
    file = io.BytesIO()
    compress_to_file(codec, wav, file, use_lm=True, format="v0")
    assert file.getvalue() == compress(codec, wav, use_lm=True, format="v0")

    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size, 3) if size is not None and size > 0 else size)

    for stream in (file.getvalue(), compress(codec, wav, format="v0")):
        pieces, _ = decompress_from_file(Pieces(stream), model=codec)
        assert torch.equal(pieces, decompress(stream, model=codec)[0])


def test_a_stream_whose_model_has_no_language_model() -> None:
    stream = compress(_codec_with_lm(SMALL_24KHZ), random_wav(1, 640), use_lm=True, format="v0")
    with pytest.raises(EcdcError, match="coded with a language model: model 'small_24khz' has no language"):
        decompress(stream, model=random_codec(SMALL_24KHZ, seed=2))


def test_a_language_model_for_another_codec() -> None:
    codec = random_codec(SMALL_24KHZ)
    lm_config = small_lm_config(SMALL_24KHZ)
    _attach(codec, LMModel(dataclasses.replace(lm_config, codebook_size=32)))
    with pytest.raises(ValueError, match=r"shape \[1, 32, 13, 1\], but .* need \[1, 64, 13, 1\]"):
        compress(codec, torch.zeros(1, 640), use_lm=True, format="v0")
    _attach(codec, LMModel(dataclasses.replace(lm_config, num_codebooks=4)))
    with pytest.raises(ValueError, match="has 4 codebooks, got codes of 13"):
        compress(codec, torch.zeros(1, 640), use_lm=True, format="v0")


def test_another_language_model_does_not_decode() -> None:
    codec = _codec_with_lm(SMALL_24KHZ)
    stream = compress(codec, random_wav(1, 9_600), use_lm=True, format="v0")
    _attach(codec, random_lm(small_lm_config(SMALL_24KHZ), seed=9))
    with pytest.raises(EcdcError, match="another language model"):
        decompress(stream, model=codec)


def test_truncation_and_what_follows_the_end(codec: EncodecModel) -> None:
    with_lm = _codec_with_lm(codec.config)
    stream = compress(
        with_lm, random_wav(codec.channels, 48_500 if codec.normalize else 2_000), use_lm=True, format="v0"
    )
    payload_start = 9 + int.from_bytes(stream[5:9], "big")
    step = max(1, (len(stream) - payload_start) // 20)
    for size in [*range(payload_start, len(stream), step), len(stream) - 1]:
        with pytest.raises(EcdcError, match="ends? too soon"):
            decompress(stream[:size], model=with_lm)
    with pytest.raises(EcdcError, match="the codes end 1 bytes before the stream"):
        decompress(stream + b"\0", model=with_lm)


def test_corrupted_payloads_give_audio_or_an_ecdc_error(codec: EncodecModel) -> None:
    with_lm = _codec_with_lm(codec.config)
    stream = compress(with_lm, random_wav(codec.channels, 2_000), use_lm=True, format="v0")
    payload_start = 9 + int.from_bytes(stream[5:9], "big")
    draws = torch.Generator().manual_seed(3)
    num_refused = 0
    for _ in range(60):
        damaged = bytearray(stream)
        place = int(torch.randint(payload_start, len(stream), (1,), generator=draws))
        damaged[place] ^= 1 << int(torch.randint(8, (1,), generator=draws))
        try:
            assert decompress(bytes(damaged), model=with_lm)[0].isfinite().all()
        except EcdcError:
            num_refused += 1
    assert num_refused > 0


@pytest.mark.parametrize("al", [1 << 40, 10**4000])
@pytest.mark.parametrize("nc", [2, 4])
def test_a_header_cannot_make_the_reader_allocate_or_wait(codec: EncodecModel, al: int, nc: int) -> None:
    with_lm = _codec_with_lm(codec.config)
    header = json.dumps({"m": codec.name, "al": al, "nc": nc, "lm": True}).encode()
    stream = b"ECDC\0" + struct.pack("!I", len(header)) + header + b"0123456789"
    lm_calls: list[int] = []
    with_lm.get_lm_model().register_forward_pre_hook(lambda *_: lm_calls.append(1))
    tracemalloc.start()
    start_s = time.process_time()
    with pytest.raises(EcdcError, match="ends too soon: .* take at least"):
        decompress(stream, model=with_lm)
    assert time.process_time() - start_s < 0.1
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 500_000
    assert not lm_calls


@pytest.mark.parametrize("payload", [bytes(200), random.Random(0).randbytes(200)], ids=["zeros", "noise"])
def test_a_claimed_duration_costs_no_more_than_the_bytes_that_are_there(payload: bytes) -> None:
    """The longest that 200 bytes could hold with a language model that is sure of everything: hundreds of hours."""
    codec = _codec_with_lm(SMALL_24KHZ)
    num_codebooks = 2
    num_frames = (8 * len(payload) << RANGE_BITS) // (codec.config.codebook_size - 1) // num_codebooks
    al = num_frames * codec.hop_length
    assert al > 100 * 3600 * codec.sample_rate
    header = json.dumps({"m": codec.name, "al": al, "nc": num_codebooks, "lm": True}).encode()
    stream = b"ECDC\0" + struct.pack("!I", len(header)) + header + payload
    lm_calls: list[int] = []
    codec.get_lm_model().register_forward_pre_hook(lambda *_: lm_calls.append(1))
    tracemalloc.start()
    start_s = time.process_time()
    with pytest.raises(EcdcError, match="the data end too soon"):
        decompress(stream, model=codec)
    assert time.process_time() - start_s < 5
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000
    assert 20 < len(lm_calls) < 8 * len(payload) / num_codebooks  # every code took a bit or more
