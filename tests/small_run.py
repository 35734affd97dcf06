"""Training runs of milliseconds a step: how to shrink any experiment, and how to start one in this process or apart."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from encodec_lab.training.config import register_configs

REPOSITORY = Path(__file__).parents[1]

# 8 samples a frame, 3,000 frames a second at 24 kHz, codebooks of 16: 12 kbps each.
SHRUNK_MODEL = [
    "model.num_filters=2",
    "model.strides=[2,4]",
    "model.latent_dim=8",
    "model.num_lstm_layers=1",
    "model.codebook_size=16",
    "discriminator.num_filters=2",
    "discriminator.window_lengths=[64]",
    "losses.reconstruction.mel.window_lengths=[32,64]",
    "losses.reconstruction.mel.low_hz=0",
    "codec_training.codebook_learning.kmeans_iterations=2",
    "codec_training.codebook_learning.kmeans_vectors_per_code=1",
]
SHRUNK_RUN = [
    "data.crop_s=0.01",
    "data.batch_size=2",
    "data.batches_per_epoch=5",
    "data.num_workers=0",
    "data.valid_max_s=0.1",
    "codec_training.unquantized_steps=0",
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
    "num_threads=1",
]


def shrunk(audio: Path, *, bandwidths: Sequence[float] = (12, 24)) -> list[str]:
    """Overrides for an experiment on the files in `audio/train` and `audio/valid`."""
    return [
        *SHRUNK_MODEL,
        f"model.bandwidths=[{','.join(f'{kbps:g}' for kbps in bandwidths)}]",
        *SHRUNK_RUN,
        f"data.train={audio / 'train'}",
        f"data.valid={audio / 'valid'}",
    ]


def compose(*overrides: str, root: str = "train") -> DictConfig:
    """The configuration that `train.py` would get, or another root's; `output_dir` must be among the overrides."""
    register_configs()
    with hydra.initialize_config_dir(str(REPOSITORY / "configs"), version_base="1.3"):
        return hydra.compose(root, overrides=list(overrides))


def start_program(
    script: str, *arguments: str | Path, cwd: Path, timeout_s: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `script` of the repository with these arguments in the folder `cwd`."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / script), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
