"""`compress` and `decompress`: parity with the reference in both directions, and refusals."""

import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from small_codec import SMALL_24KHZ, random_codec, random_wav

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EcdcError

# Frame and segment borders, and lengths at which the reference over-counts frames when it reads (6720, 13440).
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


def test_the_lengths_cover_streams_that_the_reference_cannot_read() -> None:
    model = random_codec(ENCODEC_24KHZ)
    assert [length for length in LENGTHS if _reference_miscounts(model, length)] == [6_720, 13_440]


def test_decoded_samples_are_those_of_the_model(codec: EncodecModel) -> None:
    wav = random_wav(codec.channels, 50_000)
    with torch.no_grad():
        expected = codec(wav[None])[0]
    assert torch.equal(decompress(compress(codec, wav), model=codec)[0], expected)


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
        compress(model, random_wav(1, 320), use_lm=True)
    with pytest.raises(ValueError, match="format 'v1' is not available"):
        compress(model, random_wav(1, 320), format="v1")
    assert compress(model, random_wav(1, 320), format="v0") == compress(model, random_wav(1, 320))


def test_a_stream_of_an_unknown_model_says_how_to_name_it() -> None:
    stream = compress(random_codec(SMALL_24KHZ), random_wav(1, 320))
    with pytest.raises(
        EcdcError, match="'small_24khz', which is none of encodec_24khz, encodec_48khz; .*--model"
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
    stream = compress(model, random_wav(1, 320))
    model.quantizer.codebooks[0].embed.fill_(torch.nan)
    with pytest.raises(EcdcError, match="not finite"):
        decompress(stream, model=model)
