"""ONNX graphs give what torch gives, at lengths and numbers of codebooks that were never seen at export."""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav

from encodec_lab.compat import onnx_export
from encodec_lab.compat.onnx_export import check_onnx, open_onnx, write_onnx
from encodec_lab.compat.onnx_graphs import TraceableConv1d, TraceableQuantizer, traceable
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.segments import cut, overlap_add
from encodec_lab.modules.conv import PaddedConv1d

NO_LSTM = dataclasses.replace(
    SMALL_24KHZ, name="no_lstm", num_lstm_layers=0, causal=False, num_residual_units=2
)
SMALL = [SMALL_24KHZ, SMALL_48KHZ, NO_LSTM]
FULL = [pytest.param(config, marks=pytest.mark.slow) for config in (ENCODEC_24KHZ, ENCODEC_48KHZ)]


Export = Callable[[CodecConfig], tuple[Path, EncodecModel]]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Each codec is written but once."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    @functools.cache
    def exported(config: CodecConfig) -> tuple[Path, EncodecModel]:
        folder = tmp_path_factory.mktemp(config.name)
        model = random_codec(config)
        write_onnx(folder, model)
        return folder, model

    return exported


@pytest.fixture(params=[*SMALL, *FULL], ids=lambda config: config.name)
def exported(request: pytest.FixtureRequest, export: Export) -> tuple[Path, EncodecModel]:
    return export(request.param)


@pytest.fixture
def small(export: Export) -> tuple[Path, EncodecModel]:
    return export(SMALL_24KHZ)


@torch.no_grad()
def test_codes_and_waveforms_at_any_length(exported: tuple[Path, EncodecModel]) -> None:
    folder, model = exported
    encoder, decoder = open_onnx(folder)
    check_onnx(folder, model)
    lengths = [2, 7, 319, 320, 321, 2239, 2241, 5003, 12_347]
    for length in lengths:
        wav = random_wav(model.channels, length, seed=length)[None]
        frame = (model.encode(wav) if model.segment_length is None else model.encode(wav)[:1])[0]
        codes, *scale = encoder.run(None, {"wav": wav.numpy()})
        assert codes.dtype == np.int64
        np.testing.assert_array_equal(codes, frame.codes.numpy())
        inputs: dict[str, Any] = {"codes": codes[:, :2]}
        if frame.scale is not None:
            np.testing.assert_allclose(scale[0], frame.scale.numpy(), rtol=1e-6)
            inputs["scale"] = scale[0]
        decoded = model.decode([(frame.codes[:, :2], frame.scale)])
        peak = float(decoded.abs().max().clamp(max=1))
        np.testing.assert_allclose(decoder.run(None, inputs)[0], decoded.numpy(), rtol=0, atol=1e-4 * peak)


@torch.no_grad()
def test_a_batch_is_its_items(small: tuple[Path, EncodecModel]) -> None:
    folder, model = small
    encoder, decoder = open_onnx(folder)
    wav = random_wav(5, 3001)[:, None]
    codes = encoder.run(None, {"wav": wav.numpy()})[0]
    np.testing.assert_array_equal(codes, model.encode(wav)[0].codes.numpy())
    singles = [decoder.run(None, {"codes": item[None]})[0] for item in codes]
    np.testing.assert_allclose(
        decoder.run(None, {"codes": codes})[0], np.concatenate(singles), rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_a_recording_of_several_segments(export: Export) -> None:
    """As the docstring tells a caller to do it."""
    folder, model = export(SMALL_48KHZ)
    encoder, decoder = open_onnx(folder)
    wav = random_wav(2, 100_001)[None]
    decoded = []
    for part in cut(wav, 48_000, 47_520):
        codes, scale = encoder.run(None, {"wav": part.numpy()})
        decoded.append(torch.from_numpy(decoder.run(None, {"codes": codes, "scale": scale})[0]))
    joined = overlap_add(decoded, 47_520)[..., : wav.shape[-1]]
    expected = model(wav)
    torch.testing.assert_close(joined, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_metadata_say_what_a_caller_needs(exported: tuple[Path, EncodecModel]) -> None:
    folder, model = exported
    for session in open_onnx(folder):
        metadata = json.loads(session.get_modelmeta().custom_metadata_map["encodec_lab"])
        assert metadata == {
            "name": model.name,
            "sample_rate_hz": model.sample_rate,
            "channels": model.channels,
            "hop_length": 320,
            "bandwidth_kbps": model.target_bandwidths[-1],
            "codebooks_by_bandwidth_kbps": {
                f"{kbps:g}": model.num_codebooks_for(kbps) for kbps in model.target_bandwidths
            },
            "codebook_size": model.config.codebook_size,
            "normalize": model.normalize,
            "segment_length": model.segment_length,
            "segment_stride": model.segment_stride,
        }
    assert f'"name": "{model.name}"' in (folder / "README.md").read_text()


def test_a_lower_bandwidth(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = random_codec(SMALL_24KHZ)
    write_onnx(tmp_path, model, bandwidth=1.8)
    encoder, _ = open_onnx(tmp_path)
    metadata = json.loads(encoder.get_modelmeta().custom_metadata_map["encodec_lab"])
    assert metadata["codebooks_by_bandwidth_kbps"] == {"0.9": 2, "1.8": 4}
    assert encoder.run(None, {"wav": random_wav(1, 1000)[None].numpy()})[0].shape == (1, 4, 4)
    check_onnx(tmp_path, model)
    with pytest.raises(ValueError, match="does not support a bandwidth of 2.5 kbps"):
        write_onnx(tmp_path, model, bandwidth=2.5)
    assert model.bandwidth == 6.0


@pytest.mark.parametrize("part", ["encoder", "decoder", "codebook"])
def test_the_check_finds_another_codec(small: tuple[Path, EncodecModel], part: str) -> None:
    folder, _ = small
    other = random_codec(SMALL_24KHZ)
    with torch.no_grad():
        if part == "codebook":
            other.quantizer.codebooks[1].embed.mul_(1.2)
        else:
            getattr(other, part).model[0].conv.conv.weight_g.mul_(1.5)
    with pytest.raises(ValueError, match="of small_24khz differs as ONNX at"):
        check_onnx(folder, other)


def test_near_ties_are_no_difference() -> None:
    model = random_codec(SMALL_24KHZ)
    first = model.quantizer.codebooks[0].embed
    wav = random_wav(1, 640)[None]
    with torch.no_grad():
        codes = model.encode(wav)[0].codes
        other = codes.clone()
        other[0, 0, 0] = (codes[0, 0, 0] + 1) % 64
        other[0, 1, 0] = (codes[0, 1, 0] + 1) % 64
        assert onnx_export._same_codes(model, wav, codes, codes)
        assert not onnx_export._same_codes(model, wav, codes, other)
        first[other[0, 0, 0]] = first[
            codes[0, 0, 0]
        ]  # now the first difference is a tie, so the second is no matter
        assert onnx_export._same_codes(model, wav, codes, other)


def _write(folder: Path) -> None:
    write_onnx(folder, random_codec(SMALL_24KHZ))


@pytest.mark.parametrize(("missing", "use"), [("onnx", _write), ("onnxruntime", open_onnx)])
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, use: Callable[[Path], object]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=rf"package {missing}: pip install 'encodec-lab\[export\]'"):
        use(tmp_path)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(7, 1, 1), (3, 1, 4), (4, 2, 1), (10, 5, 1)])
def test_traceable_convolution_is_the_padded_one(
    causal: bool, kernel_size: int, stride: int, dilation: int
) -> None:
    conv = PaddedConv1d(
        2, 3, kernel_size, stride=stride, dilation=dilation, causal=causal, norm="weight_norm"
    )
    for length in range(1, 25):
        x = torch.randn(2, 2, length)
        torch.testing.assert_close(TraceableConv1d(conv)(x), conv(x), rtol=0, atol=0)


def test_traceable_quantizer_decodes_to_the_last_bit() -> None:
    quantizer = random_codec(SMALL_24KHZ).quantizer
    for num_codebooks in (1, 5, len(quantizer.codebooks)):
        codes = torch.randint(64, (2, num_codebooks, 9))
        assert torch.equal(TraceableQuantizer(quantizer).decode(codes), quantizer.decode(codes))


def test_the_codec_itself_is_left_alone(small: tuple[Path, EncodecModel]) -> None:
    model = random_codec(SMALL_48KHZ)
    traceable(model)
    assert model.segment_length == 48_000
    assert model.state_dict().keys() == random_codec(SMALL_48KHZ).state_dict().keys()
