"""Exports with a language model."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_codec import SMALL_24KHZ, random_codec, random_wav
from small_lm import random_lm, small_lm_config

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.models.export_folder import read_export, write_export
from encodec_lab.models.language_model import LMConfig
from encodec_lab.models.lm_source import NoLanguageModel
from encodec_lab.models.registry import load_model

SMALL_LM = small_lm_config(SMALL_24KHZ)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    write_export(tmp_path / "export", random_codec(SMALL_24KHZ), {}, "", lm=random_lm(SMALL_LM))
    return tmp_path / "export"


def _edit_lm(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    description = json.loads(path.read_text())
    description["lm"] |= changes
    path.write_text(json.dumps(description))


def test_round_trip(export: Path) -> None:
    codec = load_model(export)
    lm = codec.get_lm_model()
    assert (lm.config, lm.training) == (SMALL_LM, False)
    expected = random_lm(SMALL_LM).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in lm.state_dict().items())
    stream = compress(codec, random_wav(1, 2_000), use_lm=True, format="v0")
    assert torch.equal(decompress(stream, model=load_model(export))[0], decompress(stream, model=codec)[0])


def test_what_lies_in_the_folder(export: Path) -> None:
    names = ["README.md", "codec.safetensors", "config.json", "lm.safetensors"]
    assert sorted(path.name for path in export.iterdir()) == names
    description = json.loads((export / "config.json").read_text())
    assert list(description) == ["format", "format_version", "identity", "codec", "lm", "provenance"]
    assert list(description["lm"]) == ["kind", "identity", "config"]
    assert description["lm"]["kind"] == "transformer"
    assert LMConfig.from_dict(description["lm"]["config"]) == SMALL_LM


def test_a_later_export_without_one_has_none(export: Path) -> None:
    write_export(export, random_codec(SMALL_24KHZ), {}, "")
    assert not (export / "lm.safetensors").exists()
    with pytest.raises(NoLanguageModel):
        read_export(export).get_lm_model()


def test_language_models_that_are_not_worth_it(tmp_path: Path) -> None:
    codec = random_codec(SMALL_24KHZ)
    other = random_lm(dataclasses.replace(SMALL_LM, num_codebooks=4))
    with pytest.raises(ValueError, match="of 4 codebooks of 64 entries does not fit codec 'small_24khz'"):
        write_export(tmp_path / "export", codec, {}, "", lm=other)
    broken = random_lm(SMALL_LM)
    broken.transformer.norm_in.weight.data[0] = torch.nan
    with pytest.raises(
        ValueError, match="norm_in.weight of the language model of 'small_24khz' is not finite"
    ):
        write_export(tmp_path / "export", codec, {}, "", lm=broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "oracle"}, "language models of kind 'oracle' are unknown; this program reads transformer"),
        ({"kind": []}, r"kind \[\] are unknown"),
        ({"config": None}, "'lm' must hold an object with kind, identity and config"),
        ({"config": {}}, "language model settings .* are missing"),
        ({"config": SMALL_LM.to_dict() | {"codebook_size": 128}}, "does not fit codec"),
        ({"config": SMALL_LM.to_dict() | {"dim": 10**6}}, r"lm.safetensors: tensor .* config.json makes it"),
        ({"identity": "0" * 64}, "lm.safetensors does not hold the tensors"),
        ({"identity": None}, "lm.safetensors does not hold the tensors"),
    ],
)
def test_descriptions_that_do_not_fit(export: Path, changes: dict[str, Any], message: str) -> None:
    _edit_lm(export, **changes)
    with pytest.raises(ValueError, match=message):
        read_export(export)


def test_missing_and_damaged_files(export: Path) -> None:
    path = export / "lm.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="lm.safetensors does not hold the tensors"):
        read_export(export)
    path.unlink()
    with pytest.raises(ValueError, match="not a complete export: it has no lm.safetensors"):
        read_export(export)
