"""A codec's training of milliseconds a step, built by hand, and a trainer that keeps what it logs."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from small_quantizer import SETTINGS
from torch import Tensor
from torch.utils.data import DataLoader

from encodec_lab.discriminators.ms_stft import MultiScaleStftDiscriminator
from encodec_lab.losses import LossBalancer, MultiScaleMelLoss, WaveformL1Loss
from encodec_lab.models.config import ENCODEC_24KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.quantization.residual_vq import CodebookLearning
from encodec_lab.training.codec_module import CodecTraining
from encodec_lab.training.start import start_networks_

# 8 samples a frame, codebooks of 16: 12 kbps each.
CONFIG = dataclasses.replace(
    ENCODEC_24KHZ,
    name="small",
    num_filters=2,
    strides=(2, 4),
    latent_dim=8,
    num_lstm_layers=1,
    codebook_size=16,
    bandwidths=(12.0, 24.0, 36.0),
)
# Codebooks that start at the first step, or not while a test runs.
FAST_START = {"kmeans_iterations": 2, "kmeans_vectors_per_code": 1}
SLOW_START = {"kmeans_iterations": 2, "kmeans_vectors_per_code": 10_000}
BATCH_SHAPE = (2, 1, 240)
VECTORS_PER_STEP = 60


def codec_training(kind: type[CodecTraining] = CodecTraining, **changes: Any) -> CodecTraining:
    """`CodecTraining` of a tiny codec; codebooks start at the first step, the discriminator learns at every one."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "codec": EncodecModel(CONFIG),
        "discriminator": MultiScaleStftDiscriminator([64], num_filters=2, leaky_relu_slope=0.2),
        "reconstruction_losses": {"l1": WaveformL1Loss(), "mel": MultiScaleMelLoss(24_000, [32, 64], 4, 0.0)},
        "balancer": LossBalancer(
            {"l1": 1.0, "mel": 1.0, "adversarial": 1.0, "feature_matching": 1.0},
            total_norm=1.0,
            decay=0.999,
            min_norm=1e-8,
        ),
        "codebook_learning": CodebookLearning(**(SETTINGS | changes.pop("codebook_learning", FAST_START))),
        "commitment_weight": 1.0,
        "generator_optimizer": lambda parameters: torch.optim.Adam(parameters, 1e-3, fused=True),
        "discriminator_optimizer": lambda parameters: torch.optim.Adam(parameters, 1e-3, fused=True),
        "schedule": lambda step: 1.0,
        "discriminator_probability": 1.0,
        "draws_any_number_of_codebooks": False,
        "unquantized_steps": 0,
        "trains_encoder": True,
        "average_decay": 0.9,
        "max_skipped_steps": 5,
        "winning_discriminator": None,
        "seed": 5,
        "run_config": {"model": CONFIG.to_dict(), "discriminator": {"num_filters": 2}},
    }
    settings |= changes
    start_networks_(
        settings["codec"],
        settings["discriminator"],
        start="signal_preserving",
        init_from=None,
        discriminator_settings={},
    )
    return kind(**settings)


def batches(num_batches: int) -> list[Tensor]:
    """Different noise [B, C, T] for every step."""
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(BATCH_SHAPE, generator=generator) for _ in range(num_batches)]


def clips(num_clips: int = 2) -> list[tuple[Tensor, list[str]]]:
    """Validation batches, as `AudioDataModule` gives them."""
    generator = torch.Generator().manual_seed(2)
    return [(0.1 * torch.randn(1, 1, 2_000, generator=generator), [f"clip{k}"]) for k in range(num_clips)]


class KeepingLogger(DummyLogger):
    """Keeps (step, figures) of every record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:  # type: ignore[override]
        self.records.append((step, dict(metrics)))

    def values(self, name: str) -> list[float]:
        """What was logged under a name, in order."""
        return [values[name] for _, values in self.records if name in values]


def fit(
    module: CodecTraining,
    num_steps: int,
    *,
    validate_every: int | None = None,
    callbacks: Sequence[lightning.Callback] = (),
    data: Sequence[Tensor] | None = None,
    **options: Any,
) -> tuple[lightning.Trainer, KeepingLogger]:
    """Train for `num_steps` generator steps, on `batches` unless `data` is given."""
    logger = KeepingLogger()
    settings: dict[str, Any] = {
        "max_steps": num_steps,
        "accelerator": "cpu",
        "logger": logger,
        "callbacks": list(callbacks),
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "val_check_interval": validate_every,
        "check_val_every_n_epoch": None if validate_every else 1,
    }
    trainer = lightning.Trainer(**(settings | options))
    # A batch more than steps: the run must end by its steps.
    data = batches(num_steps + 1) if data is None else data
    with warnings.catch_warnings():
        for advice in ("Skipping val loop", "does not have many workers", "in eval mode"):
            warnings.filterwarnings("ignore", f".*{advice}.*")
        trainer.fit(module, _loader(data), _loader(clips()) if validate_every else None)
    return trainer, logger


def _loader(items: Sequence[Any]) -> DataLoader[Any]:
    """One item after the other; Lightning would take a plain list for so many loaders."""
    return DataLoader(items, batch_size=None, shuffle=False)  # type: ignore[arg-type]
