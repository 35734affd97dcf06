"""Language model trainings of milliseconds a step: a codec to train for, and the settings that shrink an experiment."""

import dataclasses
from pathlib import Path

import hydra
from omegaconf import DictConfig
from small_codec import random_codec
from small_run import REPOSITORY

from encodec_lab.models.config import ENCODEC_24KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import write_export
from encodec_lab.training.config import register_configs

# 8 samples a frame, 3,000 frames a second, codebooks of 16: 12 kbps each.
CONFIG = dataclasses.replace(
    ENCODEC_24KHZ,
    name="small",
    num_filters=2,
    strides=(2, 4),
    latent_dim=8,
    num_lstm_layers=1,
    codebook_size=16,
    bandwidths=(12.0, 24.0, 48.0),
)


def export_codec(folder: Path, seed: int = 0) -> EncodecModel:
    """Write a codec with random weights as an export."""
    codec = random_codec(CONFIG, seed)
    write_export(folder, codec, {"made": "for tests"}, "# small\n\nA card.\n")
    return codec


def shrunk_lm(audio: Path, codec: Path, cache: Path) -> list[str]:
    """Overrides for an experiment on the files in `audio/train` and `audio/valid`."""
    return [
        f"codec={codec}",
        f"data.train={audio / 'train'}",
        f"data.valid={audio / 'valid'}",
        f"data.cache={cache}",
        "lm.dim=8",
        "lm.num_heads=2",
        "lm.num_layers=1",
        "lm.feedforward_dim=16",
        "lm.past_context_s=0.005",
        "lm_training.max_position_s=0.02",
        "data.sequence_s=0.01",
        "data.record_s=0.1",
        "data.batch_size=2",
        "data.batches_per_epoch=4",
        "trainer.accelerator=cpu",
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
        "trainer.log_every_n_steps=1",
        "num_threads=1",
    ]


def compose_lm(*overrides: str) -> DictConfig:
    """The configuration that `recipes/train_lm.py` would get; `output_dir` must be among the overrides."""
    register_configs()
    with hydra.initialize_config_dir(str(REPOSITORY / "configs"), version_base="1.3"):
        return hydra.compose("train_lm", overrides=list(overrides))
