"""`load_model`: names, folders, the reference's files, and what is none of these."""

import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab import compress, decompress
from encodec_lab.data.converted_audio import read_converted
from encodec_lab.models import encodec, registry
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.export_folder import write_export
from encodec_lab.models.registry import list_model_names, load_model


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda config: config.name)
def test_a_file_of_the_reference(reference_package: ModuleType, tmp_path: Path, config: CodecConfig) -> None:
    build = getattr(reference_package.EncodecModel, config.name.replace("encodec_", "encodec_model_"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the reference's use of torch.nn.utils.weight_norm
        state = build(pretrained=False).state_dict()
    torch.save(state, tmp_path / "any_name.th")
    model = load_model(tmp_path / "any_name.th")
    assert model.config == config
    assert not model.training
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())


def test_a_file_of_another_architecture(tmp_path: Path) -> None:
    torch.save(random_codec(SMALL_24KHZ).state_dict(), tmp_path / "small.th")
    with pytest.raises(
        ValueError, match=r"small.th: its tensors fit none of .* encodec_24khz, encodec_48khz"
    ):
        load_model(tmp_path / "small.th")


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda config: config.name)
def test_a_published_name(monkeypatch: pytest.MonkeyPatch, config: CodecConfig) -> None:
    weights = random_codec(config).state_dict()
    monkeypatch.setattr(
        encodec, "load_published_weights", lambda name, repository: {config.name: weights}[name]
    )
    model = load_model(config.name)
    assert model.name == config.name
    assert torch.equal(model.quantizer.codebooks[0].embed, weights["quantizer.vq.layers.0._codebook.embed"])


def test_a_bundled_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert list_model_names()[:2] == ["encodec_24khz", "encodec_48khz"]
    write_export(tmp_path / "small_24khz", random_codec(SMALL_24KHZ), {}, "")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "README.md").write_text("About these models")
    monkeypatch.setattr(registry, "BUNDLED_MODELS", tmp_path)
    assert list_model_names() == ["encodec_24khz", "encodec_48khz", "small_24khz"]
    assert load_model("small_24khz").config == SMALL_24KHZ


def test_what_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no model 'encodec_16khz': neither a name \(encodec_24khz, encodec_48khz"
    ):
        load_model("encodec_16khz")
    with pytest.raises(ValueError, match="not an exported model"):
        load_model(tmp_path)


def test_the_bundled_codec_codes_with_its_language_model(carried_audio: Path) -> None:
    model = load_model("lab_24khz")
    wav = read_converted(carried_audio / "test/speech/en_ljspeech_f_02.flac", model.sample_rate, 1)[
        :, :48_000
    ]
    model.set_target_bandwidth(6.0)
    raw, coded = compress(model, wav), compress(model, wav, use_lm=True)
    assert len(coded) < 0.95 * len(raw)  # two seconds of speech without a pause
    decoded, sample_rate = decompress(coded)
    assert sample_rate == 24_000 and torch.equal(decoded, decompress(raw)[0])
