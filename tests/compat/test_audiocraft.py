"""Checkpoints in the layout of audiocraft, made from codecs of ours with random weights."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from audiocraft_layout import OURS, THEIR_OPTIONS, save_in_their_layout
from omegaconf import OmegaConf
from small_codec import random_codec, random_wav

from encodec_lab.compat.audiocraft import audiocraft_config, is_audiocraft_checkpoint, read_audiocraft
from encodec_lab.models.config import ENCODEC_24KHZ


def _with(**changes: Any) -> dict[str, Any]:
    """The options with some of them changed, by dotted names with `__`."""
    options: dict[str, Any] = copy.deepcopy(yaml.safe_load(THEIR_OPTIONS))
    for dotted, value in changes.items():
        *groups, last = dotted.split("__")
        group = options
        for part in groups:
            group = group[part]
        group[last] = value
    return options


@pytest.fixture(scope="module")
def codec() -> Any:
    return random_codec(OURS)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    "options", [THEIR_OPTIONS, yaml.safe_load(THEIR_OPTIONS)], ids=["yaml", "dictionary"]
)
@torch.no_grad()
def test_the_codec_comes_back(tmp_path: Path, codec: Any, options: object, nested: bool) -> None:
    path = save_in_their_layout(tmp_path / "theirs.bin", codec, options, nested)
    assert is_audiocraft_checkpoint(path)
    model = read_audiocraft(path)
    assert model.config == OURS
    assert not model.training
    wav = random_wav(1, 5001)[None]
    assert torch.equal(model(wav), codec(wav))
    assert read_audiocraft(path, "another").name == "another"


def test_the_options_may_have_gone_through_omegaconf() -> None:
    assert audiocraft_config(OmegaConf.to_yaml(OmegaConf.create(THEIR_OPTIONS)), "theirs") == OURS


def test_bandwidths_are_those_that_were_trained() -> None:
    assert audiocraft_config(_with(rvq__n_q=6), "it").bandwidths == (0.45, 0.9, 1.8, 2.7)
    assert audiocraft_config(_with(rvq__n_q=6, rvq__q_dropout=False), "it").bandwidths == (2.7,)


def test_the_shape_of_musicgens_codec() -> None:
    """32 kHz, 640 samples a frame, four codebooks of 2,048, were it padded and skipped as ours are."""
    options = _with(
        sample_rate=32_000,
        encodec__causal=False,
        seanet__ratios=[8, 5, 4, 4],
        seanet__n_filters=64,
        seanet__dimension=128,
        rvq__bins=2048,
        rvq__q_dropout=False,
    )
    config = audiocraft_config(options, "music_32khz")
    assert (config.hop_length, config.frame_rate_hz, config.bandwidths) == (640, 50, (2.2,))
    assert (config.num_codebooks, config.strides, config.causal) == (4, (4, 4, 5, 8), False)


def test_the_architecture_of_the_paper() -> None:
    options = _with(seanet__n_filters=32, seanet__dimension=128, rvq__bins=1024, rvq__n_q=32)
    config = audiocraft_config(options, "encodec_24khz")
    assert config == dataclasses.replace(ENCODEC_24KHZ, bandwidths=(0.75, 1.5, 3.0, 6.0, 12.0, 24.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compression_model": "dac"}, "compression_model is 'dac'"),
        ({"encodec__quantizer": "no_quant"}, "encodec.quantizer is 'no_quant'"),
        ({"seanet__pad_mode": "constant"}, "seanet.pad_mode is 'constant', but a codec here has 'reflect'"),
        ({"seanet__true_skip": True}, "seanet.true_skip is True, but a codec here has False"),
        ({"seanet__activation": "Snake"}, "seanet.activation is 'Snake'"),
        ({"seanet__disable_norm_outer_blocks": 2}, "seanet.disable_norm_outer_blocks is 2"),
        ({"seanet__norm": "spectral_norm"}, "norm must be one of weight_norm, time_group_norm"),
        ({"seanet__decoder__final_activation": "Tanh"}, "seanet.decoder.final_activation is 'Tanh'"),
        ({"seanet__decoder__trim_right_ratio": 0.5}, "seanet.decoder.trim_right_ratio is 0.5"),
        ({"seanet__decoder__n_filters": 4}, "seanet.decoder.n_filters is 4, but encoder and decoder share"),
        ({"encodec__channels": 2}, "encodec.channels and seanet.channels differ"),
        ({"seanet__ratios": 320}, "seanet.ratios must be a list, of positive integers, got 320"),
        ({"rvq__bins": "many"}, "rvq.bins must be a positive integer, got 'many'"),
        ({"rvq__bins": 400}, "codebook_size must be a power of two, got 400"),
        ({"channels": "${channels}"}, "option channels refers to itself"),
        ({"sample_rate": "${oc.env:RATE}"}, "option sample_rate is .* only OmegaConf can resolve"),
        ({"rvq": None}, "option rvq.n_q is missing"),
        ({"seanet__n_filters": 3}, "tensor encoder.model.0.conv.conv.bias is"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, codec: Any, changes: dict[str, Any], message: str
) -> None:
    path = save_in_their_layout(tmp_path / "theirs.bin", codec, yaml.safe_dump(_with(**changes)))
    with pytest.raises(ValueError, match=message):
        read_audiocraft(path)


def test_an_override_that_changes_nothing_is_fine() -> None:
    assert audiocraft_config(_with(seanet__decoder={"n_filters": 2}), "theirs") == OURS


def test_a_solvers_own_checkpoint_says_how_to_export_it(tmp_path: Path, codec: Any) -> None:
    path = save_in_their_layout(
        tmp_path / "checkpoint.th", codec, OmegaConf.create(THEIR_OPTIONS), nested=True
    )
    assert is_audiocraft_checkpoint(path)
    with pytest.raises(ValueError, match=r"holds objects \(omegaconf.*export_encodec\(CHECKPOINT, OUTPUT\)"):
        read_audiocraft(path)


def test_a_pointer_is_not_followed(tmp_path: Path) -> None:
    torch.save({"pretrained": "facebook/encodec_32khz", "exported": True}, tmp_path / "pointer.bin")
    with pytest.raises(ValueError, match="holds no weights, it only points to 'facebook/encodec_32khz'"):
        read_audiocraft(tmp_path / "pointer.bin")


def test_other_files(tmp_path: Path, codec: Any) -> None:
    torch.save(codec.state_dict(), tmp_path / "reference.th")
    assert not is_audiocraft_checkpoint(tmp_path / "reference.th")
    with pytest.raises(ValueError, match="no compression checkpoint: it has no 'xp.cfg' and 'best_state'"):
        read_audiocraft(tmp_path / "reference.th")
    (tmp_path / "text.bin").write_text("no checkpoint")
    assert not is_audiocraft_checkpoint(tmp_path / "text.bin")
    with pytest.raises(ValueError, match=r"text.bin"):
        read_audiocraft(tmp_path / "text.bin")
    with pytest.raises(ValueError, match="there is no such file"):
        read_audiocraft(tmp_path / "nothing.bin")
    torch.save({"xp.cfg": THEIR_OPTIONS, "best_state": [1]}, tmp_path / "stateless.bin")
    with pytest.raises(ValueError, match="'best_state' holds no state dict"):
        read_audiocraft(tmp_path / "stateless.bin")
    torch.save({"xp.cfg": "a: [", "best_state": {}}, tmp_path / "no_yaml.bin")
    with pytest.raises(ValueError, match="'xp.cfg' is no YAML"):
        read_audiocraft(tmp_path / "no_yaml.bin")


def test_a_published_name_is_refused(tmp_path: Path, codec: Any) -> None:
    with pytest.raises(ValueError, match="named encodec_24khz would be decoded by Meta's weights"):
        read_audiocraft(save_in_their_layout(tmp_path / "encodec_24khz.bin", codec))
