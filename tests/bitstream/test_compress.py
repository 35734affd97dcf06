"""`compress` and `decompress`: parity with the reference in both directions, and refusals."""

import dataclasses
import io
import socket
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav

from encodec_lab.bitstream.compress import compress, decompress, decompress_from_file
from encodec_lab.bitstream.stream_reader import StreamReader
from encodec_lab.bitstream.stream_writer import write_blocks
from encodec_lab.data.carried_audio import carried_recording
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import module_identity
from encodec_lab.types import EcdcError

# Frame and segment borders, and lengths at which the reference over-counts frames when it reads (6720, 13440).
RECORD_LENGTHS = [
    2, 319, 320, 321, 24_000, 24_001, 47_520, 48_000, 48_001, 95_040, 95_520, 95_521, 190_180, 200_000,
]  # fmt: skip
LENGTHS = [1, 7, 319, 320, 321, 6_720, 13_440, 24_001, 47_520, 47_521, 48_000, 52_345]


@pytest.fixture(scope="module", params=[ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda config: config.name)
def twins(
    request: pytest.FixtureRequest, reference_package: ModuleType
) -> tuple[EncodecModel, torch.nn.Module]:
    """Our model and the reference's with the same random weights and codebooks."""
    ours = random_codec(request.param, seed=3)
    build = getattr(reference_package.EncodecModel, request.param.name.replace("encodec_", "encodec_model_"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the reference's use of torch.nn.utils.weight_norm
        theirs = build(pretrained=False)
    theirs.load_state_dict(ours.state_dict())
    theirs.name = request.param.name
    return ours, theirs


def _reference_miscounts(model: EncodecModel, num_samples: int) -> bool:
    """Whether the reference, which counts frames in floating point, cannot read its own stream of that length."""
    length, stride = model.segment_length or num_samples, model.segment_stride or num_samples
    for offset in range(0, num_samples, stride):
        segment = min(num_samples - offset, length)
        counted = segment / model.sample_rate * model.frame_rate
        if counted > -(-segment // model.hop_length):
            return True
    return False


@pytest.mark.parametrize("num_samples", LENGTHS)
def test_streams_equal_the_reference_and_cross(
    twins: tuple[EncodecModel, torch.nn.Module], num_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from encodec.compress import compress as reference_compress
    from encodec.compress import decompress as reference_decompress

    ours, theirs = twins
    monkeypatch.setattr(sys.modules["encodec.compress"], "MODELS", {ours.name: lambda: theirs})
    wav = random_wav(ours.channels, num_samples, seed=num_samples)
    for kbps in ours.target_bandwidths:
        ours.set_target_bandwidth(kbps)
        theirs.set_target_bandwidth(kbps)
        stream = compress(ours, wav)
        assert stream == reference_compress(theirs, wav), f"{kbps} kbps"
    decoded, sample_rate = decompress(stream, model=ours)
    assert decoded.shape == wav.shape
    assert sample_rate == ours.sample_rate
    if not _reference_miscounts(ours, num_samples):
        reference_decoded, _ = reference_decompress(stream)
        assert torch.allclose(decoded, reference_decoded, rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_streams_of_real_audio_equal_the_reference(
    twins: tuple[EncodecModel, torch.nn.Module], num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from encodec.compress import compress as reference_compress

    ours, theirs = twins
    monkeypatch.setattr(sys.modules["encodec.compress"], "MODELS", {ours.name: lambda: theirs})
    wav = carried_recording(ours.sample_rate, ours.channels, 2.1)
    kbps = ours.target_bandwidths[-1]
    ours.set_target_bandwidth(kbps)
    theirs.set_target_bandwidth(kbps)
    file = io.BytesIO()
    write_blocks(file, ours, wav.split(50_000, dim=-1), num_threads=num_threads)
    assert file.getvalue() == reference_compress(theirs, wav)


def test_the_lengths_cover_streams_that_the_reference_cannot_read() -> None:
    model = random_codec(ENCODEC_24KHZ)
    assert [length for length in LENGTHS if _reference_miscounts(model, length)] == [6_720, 13_440]


def test_decoded_samples_are_those_of_the_model(codec: EncodecModel) -> None:
    wav = random_wav(codec.channels, 50_000)
    with torch.no_grad():
        expected = codec(wav[None])[0]
    samples, _ = decompress(compress(codec, wav), model=codec)
    torch.testing.assert_close(samples, expected, atol=1e-6, rtol=0)


def test_bandwidth_decides_the_size(codec: EncodecModel) -> None:
    wav = random_wav(codec.channels, 2 * codec.sample_rate)
    for kbps in codec.target_bandwidths:
        codec.set_target_bandwidth(kbps)
        size_kbit = len(compress(codec, wav)) * 8 / 1000
        assert size_kbit == pytest.approx(2 * kbps, rel=0.2, abs=1)


BAD_WAVES = [
    (torch.zeros(1, 1, 100), r"wav must be \[C, T\] with C = 1, got shape \[1, 1, 100\]"),
    (torch.zeros(2, 100), r"with C = 1, got shape \[2, 100\]"),
    (torch.zeros(1, 0), "no samples"),
    (torch.full((1, 10), torch.nan), "finite"),
    (torch.full((1, 10), torch.inf), "finite"),
    (torch.zeros(1, 10, dtype=torch.int16), "floating-point"),
]


@pytest.mark.parametrize(("wav", "message"), BAD_WAVES)
def test_bad_waveforms(wav: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compress(random_codec(SMALL_24KHZ), wav)


def test_what_the_model_cannot_do_is_refused() -> None:
    model = random_codec(SMALL_24KHZ)
    with pytest.raises(ValueError, match="'small_24khz' has no language model"):
        compress(model, random_wav(1, 320), use_lm=True, format="v0")
    with pytest.raises(ValueError, match="'small_24khz' has no .*language model"):
        compress(model, random_wav(1, 320), use_lm=True)
    for format in ("v2", "V1", ""):
        with pytest.raises(ValueError, match=f"format '{format}' is not available; use 'v0', 'v1' or None"):
            compress(model, random_wav(1, 320), format=format)


def test_formats() -> None:
    """None is the reference's for Meta's models, and ours for all others."""
    model = random_codec(SMALL_24KHZ)
    wav = random_wav(1, 320)
    streams = {format: compress(model, wav, format=format) for format in ("v0", "v1", None)}
    assert [streams[format][:5] for format in ("v0", "v1")] == [b"ECDC\0", b"ECDC\1"]
    assert streams[None] == streams["v1"]
    for name in ("encodec_24khz", "encodec_48khz"):
        model.name = name
        assert compress(model, wav)[:5] == b"ECDC\0"
        assert compress(model, wav, format="v1")[:5] == b"ECDC\1"


@pytest.mark.parametrize("num_samples", RECORD_LENGTHS)
def test_v1_gives_what_the_model_gives(codec: EncodecModel, num_samples: int) -> None:
    wav = random_wav(codec.channels, num_samples)
    for kbps in codec.target_bandwidths[:2]:
        with codec.at_bandwidth(kbps), torch.no_grad():
            decoded, sample_rate = decompress(compress(codec, wav, format="v1"), model=codec)
            frames = codec.encode(wav[None])
            if codec.segment_stride and num_samples - codec.segment_stride * (len(frames) - 1) <= 480:
                frames = frames[: max(1, len(frames) - 1)]  # one that the one before it holds is left out
            expected = codec.decode(frames)[0, :, :num_samples]
        assert sample_rate == codec.sample_rate
        assert decoded.shape == wav.shape
        assert torch.allclose(decoded, expected, rtol=0, atol=1e-5)


class Dribble:
    """A pipe that gives one to three bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def read(self, size: int, /) -> bytes:
        start = self._position
        self._position = min(start + min(size, 1 + start % 3), len(self._content))
        return self._content[start : self._position]


@pytest.mark.parametrize("format", ["v0", "v1"])
def test_streams_from_a_pipe_in_dribbles(codec: EncodecModel, format: str) -> None:
    data = compress(codec, random_wav(codec.channels, 50_000), format=format)
    assert torch.equal(decompress_from_file(Dribble(data), model=codec)[0], decompress(data, model=codec)[0])


def test_a_stream_from_a_socket() -> None:
    """Samples of the first records are there before the last ones have been sent."""
    codec = random_codec(SMALL_24KHZ)
    data = compress(codec, random_wav(1, 12 * 24_000))
    near, far = socket.socketpair()
    with near, far, near.makefile("rb", buffering=0) as file:
        far.sendall(data[:-200])
        pieces = StreamReader(file, model=codec).pieces()
        first = [next(pieces)]
        far.sendall(data[-200:])
        far.close()
        wav = torch.cat([*first, *pieces], dim=-1)
    assert torch.equal(wav, decompress(data, model=codec)[0])


def test_another_model_is_named_with_its_identity() -> None:
    codec, other = random_codec(SMALL_24KHZ), random_codec(SMALL_24KHZ, seed=1)
    data = compress(codec, random_wav(1, 320))
    ours, theirs = (module_identity(model)[:16] for model in (codec, other))
    with pytest.raises(
        EcdcError, match=f"'small_24khz' with identity {ours}, but .* identity {theirs}; .* --model .*model="
    ):
        decompress(data, model=other)
    with pytest.raises(EcdcError, match=f"'small_24khz' with identity {ours}, which is none of .* --model"):
        decompress(data)


def test_a_model_that_is_given_stays_on_its_device() -> None:
    codec = random_codec(SMALL_24KHZ)
    for format in ("v0", "v1"):
        data = compress(codec, random_wav(1, 320), format=format)
        reader = StreamReader(io.BytesIO(data), "meta", load=lambda name, identity: codec)
        assert reader.model.device == torch.device("cpu")


def test_a_lost_record_of_a_codec_with_segments_that_does_not_normalise() -> None:
    codec = random_codec(dataclasses.replace(SMALL_48KHZ, normalize=False))
    file = io.BytesIO()
    write_blocks(file, codec, [random_wav(2, 4 * 47_520)], record_s=1.0)
    whole, _ = decompress(file.getvalue(), model=codec)
    damaged = bytearray(file.getvalue())
    damaged[3 * len(damaged) // 8] ^= 1
    reader = StreamReader(io.BytesIO(damaged), model=codec, salvage=True)
    saved = torch.cat(list(reader.pieces()), dim=-1)
    assert reader.lost == [(47_520, 47_520)]
    assert saved.shape == whole.shape
    assert not saved[:, 47_520 : 2 * 47_520].any()
    assert torch.allclose(saved[:, :47_520], whole[:, :47_520], atol=1e-5)
    assert torch.allclose(saved[:, 2 * 47_520 + 480 :], whole[:, 2 * 47_520 + 480 :], atol=1e-5)


def test_a_stream_of_an_unknown_model_says_how_to_name_it() -> None:
    stream = compress(random_codec(SMALL_24KHZ), random_wav(1, 320), format="v0")
    with pytest.raises(
        EcdcError, match="'small_24khz', which is none of encodec_24khz, encodec_48khz, lab_24khz; .*--model"
    ):
        decompress(stream)


def test_a_name_in_a_stream_is_never_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from encodec_lab.models.export_folder import write_export

    model = random_codec(SMALL_24KHZ)
    write_export(tmp_path / "small_24khz", model, {}, "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EcdcError, match="none of"):
        decompress(compress(model, random_wav(1, 320)))


def test_samples_that_are_not_finite_are_not_returned() -> None:
    model = random_codec(SMALL_24KHZ)
    stream = compress(model, random_wav(1, 320), format="v0")  # v1 would see that it is another model
    model.quantizer.codebooks[0].embed.fill_(torch.nan)
    with pytest.raises(EcdcError, match="not finite"):
        decompress(stream, model=model)
