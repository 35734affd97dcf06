"""Both ways between our models and those of `transformers`: the same codes and waveforms, or a clear refusal."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.registry import load_model
from encodec_lab.models.transformers_folder import (
    config_from_transformers,
    config_to_transformers,
    is_transformers_folder,
    read_transformers,
    transformers_name,
    write_transformers,
)

CUSTOM = dataclasses.replace(
    SMALL_24KHZ,
    name="custom",
    sample_rate_hz=16_000,
    channels=2,
    bandwidths=(1.2, 4.2),
    causal=False,
    strides=(2, 5, 8),
    latent_dim=12,
    num_residual_units=3,
    kernel_size=5,
    last_kernel_size=3,
    residual_kernel_size=5,
    dilation_base=3,
    compress=1,
    num_lstm_layers=1,
    codebook_size=8,
    normalize=True,
    segment_s=0.5,
    segment_overlap=0.25,
)
SMALL = [SMALL_24KHZ, SMALL_48KHZ, CUSTOM]
FULL = [pytest.param(config, marks=pytest.mark.slow) for config in (ENCODEC_24KHZ, ENCODEC_48KHZ)]


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


def _theirs_with_random_codebooks(transformers: Any, config: CodecConfig) -> Any:
    """Their model, built by them from their configuration class."""
    values = config_to_transformers(config)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = transformers.EncodecModel(transformers.EncodecConfig(**values)).eval()
        for layer in model.quantizer.layers:
            layer.codebook.embed.normal_(std=0.05)
    return model


@torch.no_grad()
def _assert_same_output(ours: EncodecModel, theirs: Any) -> None:
    wav = random_wav(ours.channels, int(1.3 * ours.sample_rate) + 7)[None]
    assert ours.target_bandwidths == list(theirs.config.target_bandwidths)
    for kbps in ours.target_bandwidths:
        ours.set_target_bandwidth(kbps)
        frames = ours.encode(wav)
        codes, scales, padding = theirs.encode(wav, bandwidth=kbps, return_dict=False)
        assert (
            len(frames)
            == len(codes)
            == (1 if ours.segment_stride is None else -(-wav.shape[-1] // ours.segment_stride))
        )
        for index, (frame, their_codes, scale) in enumerate(zip(frames, codes, scales, strict=True)):
            length = their_codes.shape[-1] - (padding if index == len(frames) - 1 else 0)
            assert torch.equal(frame.codes, their_codes[..., :length])
            assert (frame.scale is None) == (scale is None)
            if scale is not None:
                torch.testing.assert_close(frame.scale, scale)
        their_wav = theirs.decode(codes, scales, return_dict=False, last_frame_pad_length=padding)[0]
        peak = float(their_wav.abs().max().clamp(max=1))
        torch.testing.assert_close(ours.decode(frames), their_wav, rtol=0, atol=1e-5 * peak)


@pytest.mark.parametrize("config", [*SMALL, *FULL], ids=lambda config: config.name)
def test_what_we_write_they_read(tmp_path: Path, transformers: Any, config: CodecConfig) -> None:
    model = random_codec(config)
    write_transformers(tmp_path, model)
    theirs, info = transformers.EncodecModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    _assert_same_output(model, theirs.eval())


@pytest.mark.parametrize("config", [*SMALL, *FULL], ids=lambda config: config.name)
def test_what_they_write_we_read(tmp_path: Path, transformers: Any, config: CodecConfig) -> None:
    theirs = _theirs_with_random_codebooks(transformers, config)
    theirs.save_pretrained(tmp_path / "theirs")
    model = read_transformers(tmp_path / "theirs", config.name)
    assert model.config == config
    assert not model.training
    _assert_same_output(model, theirs)


def test_their_feature_extractor_cuts_as_the_model_does(tmp_path: Path, transformers: Any) -> None:
    model = random_codec(SMALL_48KHZ)
    write_transformers(tmp_path, model)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(extractor).__name__ == "EncodecFeatureExtractor"
    assert (extractor.chunk_length, extractor.chunk_stride) == (model.segment_length, model.segment_stride)
    audio = random_wav(2, 1000).numpy()
    assert extractor(audio, sampling_rate=48_000, return_tensors="pt")["input_values"].shape[:2] == (1, 2)


@pytest.mark.parametrize("config", SMALL, ids=lambda config: config.name)
def test_round_trip_without_their_package(tmp_path: Path, config: CodecConfig) -> None:
    model = random_codec(config)
    folder = tmp_path / config.name
    folder.mkdir()
    write_transformers(folder, model)
    for loaded in (read_transformers(folder), load_model(folder)):
        assert loaded.config == config
        torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda config: config.name)
def test_published_architectures_and_their_names(config: CodecConfig) -> None:
    """The values of Meta's files on the hub, as far as they are known: see the class defaults and its documentation."""
    values = config_to_transformers(config)
    assert values["upsampling_ratios"] == [8, 5, 4, 2]
    assert (values["hidden_size"], values["codebook_dim"]) == (128, 128)
    assert config_from_transformers(values, config.name) == config


def test_what_their_config_leaves_out_has_their_default() -> None:
    assert config_from_transformers({"model_type": "encodec"}, "encodec_24khz") == ENCODEC_24KHZ


def test_names_of_tensors() -> None:
    assert transformers_name("encoder.model.0.conv.conv.weight_g") == "encoder.layers.0.conv.weight_g"
    assert transformers_name("decoder.model.3.convtr.convtr.bias") == "decoder.layers.3.conv.bias"
    assert transformers_name("decoder.model.3.convtr.norm.bias") == "decoder.layers.3.norm.bias"
    assert (
        transformers_name("encoder.model.1.block.3.conv.norm.weight")
        == "encoder.layers.1.block.3.norm.weight"
    )
    assert transformers_name("encoder.model.13.lstm.bias_hh_l1") == "encoder.layers.13.lstm.bias_hh_l1"
    assert transformers_name("quantizer.vq.layers.7._codebook.embed") == "quantizer.layers.7.codebook.embed"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    write_transformers(folder, random_codec(SMALL_24KHZ))
    return folder


def _edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pad_mode": "constant"}, "pad_mode is 'constant', but a codec here has 'reflect'"),
        ({"trim_right_ratio": 0.5}, "trim_right_ratio is 0.5"),
        ({"use_conv_shortcut": False}, "use_conv_shortcut is False"),
        ({"codebook_dim": 4}, "codebook_dim 4 differs from hidden_size 8"),
        ({"norm_type": "layer_norm"}, "norm must be one of weight_norm, time_group_norm, got 'layer_norm'"),
        ({"target_bandwidths": [6.0, 1.8]}, "bandwidths must be ascending"),
        ({"target_bandwidths": 6.0}, "must be lists"),
        ({"chunk_length_s": 1.0, "overlap": None}, "chunk_length_s needs an overlap"),
        ({"num_lstm_layers": 0}, "num_lstm_layers is 0"),
        ({"num_filters": 4}, "tensor encoder.model.0.conv.conv"),
        ({"num_filters": "many"}, "num_filters must be an integer"),
        ({"model_type": "dac"}, "has no config.json with"),
    ],
)
def test_what_ours_cannot_be(folder: Path, changes: dict[str, Any], message: str) -> None:
    _edit_config(folder, **changes)
    with pytest.raises(ValueError, match=message):
        read_transformers(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_lstm_layers": 0}, "num_lstm_layers is 0, but transformers always puts an LSTM"),
        # 70 codebooks of 1 bit at 29 Hz: 2.03 * 1000 in floating point is 2029.9999999999998.
        (
            {"strides": (8, 30), "codebook_size": 2, "sample_rate_hz": 6960, "bandwidths": (0.029, 2.03)},
            "bandwidth 2.03 kbps is 70 codebooks here, but 69 in transformers",
        ),
    ],
)
def test_what_theirs_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    model = random_codec(dataclasses.replace(SMALL_24KHZ, **changes))
    with pytest.raises(ValueError, match=message):
        write_transformers(tmp_path, model)
    assert not list(tmp_path.iterdir())


def _remove(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("quantizer.layers.0.codebook.embed")
    save_file(tensors, folder / "model.safetensors")


def _add_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors") | {"other": torch.zeros(1)}
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, "has neither model.safetensors nor pytorch_model.bin"),
        (_truncate, "cannot be read as safetensors"),
        (_drop_a_tensor, "lacks 1 tensors of the model, among them quantizer.vq.layers.0._codebook.embed"),
        (_add_a_tensor, "among them other"),
    ],
)
def test_damaged_folders(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises(ValueError, match=message):
        read_transformers(folder)


def test_older_folders_with_pickled_weights_in_half_precision(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    _remove(folder)
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    state = read_transformers(folder).state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    torch.testing.assert_close(state, random_codec(SMALL_24KHZ).state_dict(), rtol=1e-3, atol=1e-6)


def test_nothing_but_tensors_is_unpickled(folder: Path) -> None:
    _remove(folder)
    torch.save({"weights": Path("somewhere")}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be read as a PyTorch file"):
        read_transformers(folder)


def test_a_published_name_is_not_taken_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "encodec_24khz"
    folder.mkdir()
    write_transformers(folder, random_codec(SMALL_24KHZ))
    assert read_transformers(folder).name == "encodec_24khz_transformers"


def test_what_is_no_folder_of_theirs(tmp_path: Path) -> None:
    assert not is_transformers_folder(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    assert not is_transformers_folder(tmp_path)
