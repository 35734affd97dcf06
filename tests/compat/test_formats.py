"""Every format: checked before it appears, and nothing of the user's is overwritten."""

import json
from pathlib import Path

import pytest
import torch
from audiocraft_layout import OURS, save_in_their_layout
from small_codec import SMALL_24KHZ, random_codec, random_wav
from small_lm import random_lm

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.compat import formats, lm_conversion
from encodec_lab.compat.formats import FORMATS, convert_model, write_format
from encodec_lab.models import lm_source
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import read_export, write_export
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, LMConfig, LMModel
from encodec_lab.models.registry import load_model
from encodec_lab.models.transformers_folder import read_transformers


@pytest.fixture(scope="module")
def codec() -> EncodecModel:
    return random_codec(SMALL_24KHZ)


@pytest.fixture
def model(tmp_path: Path, codec: EncodecModel) -> Path:
    """An export of ours in a folder of its own."""
    write_export(tmp_path / "models/small", codec, {}, "")
    return tmp_path / "models/small"


@pytest.mark.parametrize(
    ("format", "files"),
    [
        ("folder", {"config.json", "codec.safetensors", "README.md"}),
        ("transformers", {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}),
        ("onnx", {"encoder.onnx", "decoder.onnx", "README.md"}),
    ],
)
def test_converted_models(model: Path, tmp_path: Path, format: str, files: set[str]) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    converted = convert_model(model, tmp_path / "converted", format, name="another")
    assert converted.name == "another"
    assert {path.name for path in (tmp_path / "converted").iterdir()} == files
    assert {path.name for path in tmp_path.iterdir()} == {"converted", "models"}
    if format != "onnx":
        loaded = load_model(tmp_path / "converted")
        torch.testing.assert_close(loaded.state_dict(), converted.state_dict(), rtol=0, atol=0)
        card = (tmp_path / "converted/README.md").read_text()
        assert card.startswith("# another\n")
        assert "converted by encodec-lab from `small`" in card


def test_provenance_names_the_source_without_its_place(model: Path, tmp_path: Path) -> None:
    convert_model(model, tmp_path / "converted", "folder")
    description = json.loads((tmp_path / "converted/config.json").read_text())
    assert description["provenance"] == {"converted_from": "small"}


def test_a_codec_of_audiocraft(tmp_path: Path) -> None:
    codec = random_codec(OURS)
    path = save_in_their_layout(tmp_path / "theirs.bin", codec)
    convert_model(path, tmp_path / "theirs", "transformers")
    loaded = read_transformers(tmp_path / "theirs")
    assert loaded.config == OURS
    torch.testing.assert_close(loaded.state_dict(), codec.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("format", FORMATS)
def test_what_differs_does_not_appear(
    tmp_path: Path, codec: EncodecModel, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    other = random_codec(SMALL_24KHZ, seed=1)
    if format == "onnx":
        pytest.importorskip("onnxruntime")
        write = formats.write_onnx
        monkeypatch.setattr(formats, "write_onnx", lambda folder, codec, kbps: write(folder, other, kbps))
    else:
        reader = "read_export" if format == "folder" else "read_transformers"
        monkeypatch.setattr(formats, reader, lambda *_: other)
    with pytest.raises(ValueError, match="differs"):
        write_format(tmp_path / "output", codec, format, {}, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_what_lies_there_stays(tmp_path: Path, codec: EncodecModel, format: str) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output/config.json").write_text('{"model_type": "encodec"}')
    with pytest.raises(ValueError, match="choose another place, or clear it"):
        write_format(tmp_path / "output", codec, format, {}, "")
    assert (tmp_path / "output/config.json").read_text() == '{"model_type": "encodec"}'
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def test_published_names_are_for_other_formats_only(tmp_path: Path, codec: EncodecModel) -> None:
    write_export(tmp_path / "small", codec, {}, "")
    with pytest.raises(ValueError, match="named encodec_24khz would be decoded by Meta's weights"):
        convert_model(tmp_path / "small", tmp_path / "output", "folder", name="encodec_24khz")
    convert_model(tmp_path / "small", tmp_path / "output", "transformers", name="encodec_24khz")


def test_the_language_model_goes_along(tmp_path: Path) -> None:
    codec = random_codec(SMALL_24KHZ)
    lm = LMModel(LMConfig(codec.config.num_codebooks, 64, 8, 2, 1, 8, 5, 10_000.0))
    write_export(tmp_path / "small", codec, {}, "", lm)
    convert_model(tmp_path / "small", tmp_path / "output", "folder", name="another")
    copied = read_export(tmp_path / "output").get_lm_model()
    torch.testing.assert_close(copied.state_dict(), lm.state_dict(), rtol=0, atol=0)


def test_mistakes(tmp_path: Path, codec: EncodecModel) -> None:
    with pytest.raises(ValueError, match="format must be one of folder, transformers, onnx, got 'pickle'"):
        write_format(tmp_path / "output", codec, "pickle", {}, "")
    with pytest.raises(
        ValueError, match="bandwidth=6 is for format=onnx; format=folder holds all bandwidths"
    ):
        write_format(tmp_path / "output", codec, "folder", {}, "", bandwidth=6)
    with pytest.raises(ValueError, match="no model 'nothing'"):
        convert_model("nothing", tmp_path / "output", "onnx")


def test_the_language_model_of_a_published_codec_in_integers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files as the reference writes them, its language model beside the codec; the folder serves streams of v1."""
    codec = EncodecModel.encodec_model_24khz(pretrained=False)
    lm = random_lm(ENCODEC_LM_24KHZ)
    (tmp_path / "published").mkdir()
    torch.save(codec.state_dict(), tmp_path / "published/encodec_24khz-d7cc33bc.th")
    torch.save(lm.state_dict(), tmp_path / "published/encodec_lm_24khz-1608e3c0.th")
    monkeypatch.setattr(lm_source, "load_published_weights", lambda name, _: lm.state_dict())
    monkeypatch.setattr(
        lm_conversion, "carried_clips", lambda *_: iter([random_wav(1, 12_000), random_wav(1, 9_000, seed=1)])
    )
    source = tmp_path / "published/encodec_24khz-d7cc33bc.th"
    with pytest.raises(ValueError, match="named encodec_24khz would be decoded by Meta's weights"):
        convert_model(source, tmp_path / "output", "folder", lm=True)
    convert_model(source, tmp_path / "output", "folder", name="mine", lm=True)
    model = load_model(tmp_path / "output")
    converted = model.get_lm_model()
    assert isinstance(converted, IntegerLM)
    assert converted.config.architecture == ENCODEC_LM_24KHZ
    assert "language model: in integers" in (tmp_path / "output/README.md").read_text()
    model.set_target_bandwidth(6.0)
    data = compress(model, random_wav(1, 6_000, seed=2), use_lm=True, format="v1")
    assert decompress(data, model=load_model(tmp_path / "output"))[0].shape == (1, 6_000)


def test_language_models_that_cannot_be_converted(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lm=true is for format=folder; format=onnx holds no language model"):
        convert_model(model, tmp_path / "output", "onnx", lm=True)
    with pytest.raises(ValueError, match="'small_24khz' has no language model"):
        convert_model(model, tmp_path / "output", "folder", name="other", lm=True)
    assert not (tmp_path / "output").exists()
