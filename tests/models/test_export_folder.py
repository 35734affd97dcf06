"""Exported folders: what is written comes back, what is damaged is refused, what is ours alone is replaced."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav

from encodec_lab.models import export_folder
from encodec_lab.models.config import CodecConfig
from encodec_lab.models.export_folder import read_export, round_to_half_, write_export
from encodec_lab.models.registry import load_model


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "export"
    write_export(folder, random_codec(SMALL_24KHZ), {"step": 5}, "# A card\n")
    return folder


def _edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("config", [SMALL_24KHZ, SMALL_48KHZ], ids=lambda config: config.name)
def test_round_trip(tmp_path: Path, config: CodecConfig) -> None:
    model = random_codec(config, seed=7)
    write_export(tmp_path / "export", model, {}, "")
    for loaded in (read_export(tmp_path / "export"), load_model(str(tmp_path / "export"))):
        assert loaded.config == config
        assert not loaded.training
        wav = random_wav(config.channels, 50_000)[None]
        with torch.no_grad():
            assert torch.equal(loaded(wav), model(wav))
        assert all(torch.equal(loaded.state_dict()[key], value) for key, value in model.state_dict().items())


def test_what_lies_in_the_folder(export: Path) -> None:
    assert sorted(path.name for path in export.iterdir()) == ["README.md", "codec.safetensors", "config.json"]
    assert [path.name for path in export.parent.iterdir()] == ["export"]
    description = json.loads((export / "config.json").read_text())
    assert list(description) == ["format", "format_version", "identity", "codec", "provenance"]
    assert (description["format"], description["format_version"]) == ("encodec-lab", 1)
    assert CodecConfig.from_dict(description["codec"]) == SMALL_24KHZ
    assert description["provenance"] == {"step": 5}
    assert (export / "README.md").read_text() == "# A card\n"


def test_an_earlier_export_is_replaced(export: Path) -> None:
    (export / "lm.safetensors").write_bytes(b"of the earlier codec")
    write_export(export, random_codec(SMALL_48KHZ), {}, "")
    assert read_export(export).name == "small_48khz"
    assert not (export / "lm.safetensors").exists()
    assert [path.name for path in export.parent.iterdir()] == ["export"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_export(tmp_path, random_codec(SMALL_24KHZ), {}, "")
    assert read_export(tmp_path).name == "small_24khz"


def test_what_is_no_export_is_left_alone(export: Path, tmp_path: Path) -> None:
    (export / "notes.txt").write_text("mine")
    model = random_codec(SMALL_24KHZ)
    with pytest.raises(ValueError, match=r"other things than an export \(notes.txt\)"):
        write_export(export, model, {}, "")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="is not an export of ours"):
        write_export(foreign, model, {}, "")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="no empty folder"):
        write_export(tmp_path / "file", model, {}, "")
    (tmp_path / "link").symlink_to(export)
    with pytest.raises(ValueError, match="no empty folder"):
        write_export(tmp_path / "link", model, {}, "")
    assert (foreign / "config.json").read_text() == '{"model_type": "bert"}'


def test_a_failed_export_leaves_the_earlier_one(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (export / "config.json").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(export_folder, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        write_export(export, random_codec(SMALL_48KHZ), {}, "")
    assert (export / "config.json").read_bytes() == before
    assert read_export(export).name == "small_24khz"
    assert [path.name for path in export.parent.iterdir()] == ["export"]


@pytest.mark.parametrize("name", ["encodec_24khz", "encodec_48khz"])
def test_the_names_of_metas_codecs_are_taken(tmp_path: Path, name: str) -> None:
    model = random_codec(SMALL_24KHZ)
    model.name = name
    with pytest.raises(
        ValueError, match=f"streams of a codec named {name} would be decoded by Meta's weights"
    ):
        write_export(tmp_path / "export", model, {}, "")
    assert not list(tmp_path.iterdir())


def test_useless_models_and_provenance_are_refused(tmp_path: Path) -> None:
    model = random_codec(SMALL_24KHZ)
    with pytest.raises(ValueError, match="provenance must hold JSON values"):
        write_export(tmp_path / "export", model, {"path": Path()}, "")
    model.quantizer.codebooks[1].embed[3] = torch.nan
    with pytest.raises(ValueError, match=r"vq.layers.1._codebook.embed of model 'small_24khz' is not finite"):
        write_export(tmp_path / "export", model, {}, "")
    assert not list(tmp_path.iterdir())


def test_missing_files(export: Path, tmp_path: Path) -> None:
    (export / "codec.safetensors").unlink()
    with pytest.raises(ValueError, match=r"not a complete export: it has no codec.safetensors"):
        read_export(export)
    with pytest.raises(ValueError, match=r"not an exported model: it has no config.json"):
        read_export(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_type": "encodec"}', "[" * 100_000])
def test_config_files_of_another_kind(export: Path, text: str) -> None:
    (export / "config.json").write_text(text)
    with pytest.raises(ValueError, match="does not describe an exported model"):
        read_export(export)


BAD_CONFIGS = [
    ({"format_version": 2}, "format_version 2 is unknown"),
    ({"format_version": None}, "format_version None is unknown"),
    ({"identity": 5}, "'identity' is missing or no str"),
    ({"identity": "0" * 64}, "does not hold the tensors"),
    ({"codec": None}, "'codec' is missing or no dict"),
    ({"codec": {}}, "config.json: codec settings"),
    ({"codec": SMALL_24KHZ.to_dict() | {"channels": 3}}, "config.json: channels must be 1 or 2, got 3"),
    ({"codec": SMALL_24KHZ.to_dict() | {"num_filters": 4}}, "config.json makes it"),
    ({"codec": SMALL_24KHZ.to_dict() | {"num_filters": 10**6}}, "config.json makes it"),
    ({"codec": SMALL_24KHZ.to_dict() | {"bandwidths": [0.9]}}, "holds 44 tensors that the model has not"),
    ({"codec": SMALL_24KHZ.to_dict() | {"bandwidths": [8]}}, "lacks 16 tensors of the model"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CONFIGS)
def test_configurations_that_do_not_fit(export: Path, changes: dict[str, Any], message: str) -> None:
    _edit_config(export, **changes)
    with pytest.raises(ValueError, match=message):
        read_export(export)


def test_damaged_tensors(export: Path) -> None:
    path = export / "codec.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"\xff" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="cannot be read as safetensors"):
            read_export(export)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="does not hold the tensors"):
        read_export(export)


def test_tensors_of_another_type(export: Path) -> None:
    path = export / "codec.safetensors"
    save_file({name: tensor.double() for name, tensor in load_file(path).items()}, path)
    with pytest.raises(ValueError, match="torch.float64"):
        read_export(export)


def test_half_precision(tmp_path: Path) -> None:
    model = random_codec(SMALL_24KHZ)
    write_export(tmp_path / "single", model, {}, "card")
    round_to_half_(model)
    write_export(tmp_path / "half", model, {}, "card")
    sizes = [(tmp_path / name / "codec.safetensors").stat().st_size for name in ("single", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    back = read_export(tmp_path / "half")
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor) and back.state_dict()[name].dtype is tensor.dtype
    next(model.parameters()).data.fill_(1e5)
    with pytest.raises(ValueError, match="values beyond 65504"):
        round_to_half_(model)
