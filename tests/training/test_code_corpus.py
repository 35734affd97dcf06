"""Language models learn from shards of codes as from the audio that these were made of."""

import pytest
import torch
from small_corpus import encode, export_small_codec
from small_lm_run import CONFIG, compose_lm, shrunk_lm

from encodec_lab.training.code_datamodule import CodeDataModule
from encodec_lab.training.lm_run import train_lm


@pytest.fixture
def codec(noise_folder, tmp_path):
    codec = export_small_codec(tmp_path / "codec", CONFIG)
    encode(tmp_path, "codes", data=noise_folder / "train")
    return codec


def data_of(codec, root, train):
    data = CodeDataModule(
        codec, str(root / "codec"), train, None, str(root / "cache"), "cpu", 0.01, 0.1, 2, 4, 1, 0, 0.0
    )
    data.setup("fit")
    return data


def test_the_same_sequences_as_from_audio(codec, noise_folder, tmp_path):
    from_audio = data_of(codec, tmp_path, noise_folder / "train")
    from_codes = data_of(codec, tmp_path, str(tmp_path / "out"))
    torch.testing.assert_close(from_codes.train_counts, from_audio.train_counts)
    for left, right in zip(from_codes.train_dataloader(), from_audio.train_dataloader(), strict=True):
        torch.testing.assert_close(left, right)


def test_codes_beside_audio_with_weights(codec, noise_folder, tmp_path):
    spec = [{"path": tmp_path / "out", "weight": 1}, {"path": noise_folder / "valid/c.wav", "weight": 3}]
    both = data_of(codec, tmp_path, spec)
    assert both.train_counts.sum() == 4 * 3 * 1500  # codebooks, recordings, frames
    assert both._crops._edges.tolist() == pytest.approx([0.5, 1.0, 4.0])


def test_a_language_model_is_trained_on_shards(codec, noise_folder, tmp_path):
    settings = [
        one for one in shrunk_lm(noise_folder, tmp_path / "codec", tmp_path / "cache") if "train=" not in one
    ]
    trainer = train_lm(
        compose_lm(*settings, f"data.train={tmp_path / 'out'}", f"output_dir={tmp_path / 'run'}")
    )
    assert trainer.global_step == 2


def test_codes_of_another_codec_are_refused(codec, tmp_path):
    other = export_small_codec(tmp_path / "codec", CONFIG, seed=1)
    with pytest.raises(ValueError, match="codes of the codec small, .*; this one is small, "):
        data_of(other, tmp_path, str(tmp_path / "out"))


def test_codes_at_a_lower_bandwidth_are_refused(codec, noise_folder, tmp_path):
    encode(tmp_path, "codes", data=noise_folder / "train", output=tmp_path / "low", bandwidth_kbps=24)
    with pytest.raises(ValueError, match="codes at 24.0 kbps; .* highest bandwidth, 48 kbps"):
        data_of(codec, tmp_path, str(tmp_path / "low"))
