"""From a training checkpoint to an export folder that is known to work."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.models.config import CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import read_export, write_export
from encodec_lab.models.registry import PUBLISHED_CONFIGS
from encodec_lab.training.local_logger import METRICS_FILE

_AVERAGE_PREFIX = "average.codec."


@dataclasses.dataclass(frozen=True)
class TrainedCodec:
    """A codec out of a checkpoint.

    Attributes:
        codec: with the averaged weights, in evaluation mode.
        step: generator steps that made it.
        run_config: the run's whole configuration.
    """

    codec: EncodecModel
    step: int
    run_config: dict[str, Any]


def load_trained_codec(checkpoint: str | Path, name: str | None = None) -> TrainedCodec:
    """Read a checkpoint of `train.py`; `name` replaces the codec's name.

    Raises:
        ValueError: no such file, not a checkpoint of ours, or codebooks that k-means has not started yet.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise ValueError(f"checkpoint={checkpoint}: there is no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        run_config, state, step = content["run_config"], content["state_dict"], int(content["global_step"])
        model_values = {key: value for key, value in run_config["model"].items() if not key.startswith("_")}
    except Exception as error:  # torch raises whatever a damaged file provokes
        raise ValueError(f"{path} is not a checkpoint of train.py: {error}") from error
    config = CodecConfig.from_dict(model_values | ({"name": name} if name else {}))
    codec = EncodecModel(config).eval()
    codec.load_state_dict(
        {
            key.removeprefix(_AVERAGE_PREFIX): value
            for key, value in state.items()
            if key.startswith(_AVERAGE_PREFIX)
        }
    )
    if not codec.quantizer.started:
        raise ValueError(f"{path} is of step {step}, before k-means has started the codebooks: train on")
    return TrainedCodec(codec, step, run_config)


def export_checkpoint(checkpoint: str | Path, output: str | Path, name: str | None = None) -> TrainedCodec:
    """Write the codec of a checkpoint as an export folder, reload it and compare what the two give.

    Raises:
        ValueError: see `load_trained_codec` and `write_export`; the name is a published model's; or the reloaded codec
            differs.
    """
    trained = load_trained_codec(checkpoint, name)
    if trained.codec.name in PUBLISHED_CONFIGS:
        raise ValueError(
            f"streams of a codec named {trained.codec.name} would be decoded by Meta's weights; give another name=…"
        )
    provenance = {
        "checkpoint": Path(checkpoint).name,
        "step": trained.step,
        "exported": datetime.date.today().isoformat(),
        "training": trained.run_config,
    }
    scores = _scores_at(Path(checkpoint).parent.parent / METRICS_FILE, trained.step)
    write_export(output, trained.codec, provenance, _model_card(trained, scores))
    _compare(trained.codec, read_export(output))
    return trained


@torch.no_grad()
def _compare(codec: EncodecModel, reloaded: EncodecModel) -> None:
    """Raise ValueError unless both give the same codes and audio for two seconds of noise at every bandwidth."""
    generator = torch.Generator().manual_seed(0)
    wav = 0.1 * torch.randn(1, codec.channels, 2 * codec.sample_rate, generator=generator)
    for kbps in codec.target_bandwidths:
        outputs: list[list[Tensor]] = []
        for model in (codec, reloaded):
            model.set_target_bandwidth(kbps)
            frames = model.encode(wav)
            outputs.append([*(frame.codes for frame in frames), model.decode(frames)])
        if not all(torch.equal(mine, theirs) for mine, theirs in zip(*outputs, strict=True)):
            raise ValueError(
                f"the reloaded export of {codec.name} differs from its checkpoint at {kbps:g} kbps"
            )


def _scores_at(metrics_csv: Path, num_steps: int) -> dict[str, float]:
    """The newest validation scores of the first `num_steps` steps; none if `train.py` has not put the file there."""
    if not metrics_csv.is_file():
        return {}
    scores: dict[str, float] = {}
    for step, values in read_training_records(metrics_csv):
        if step < num_steps:
            scores |= {name: value for name, value in values.items() if name.startswith("valid/")}
    return scores


def _model_card(trained: TrainedCodec, scores: dict[str, float]) -> str:
    config = trained.codec.config
    num_parameters = sum(parameter.numel() for parameter in trained.codec.parameters())
    lines = [
        f"# {config.name}",
        "",
        f"An EnCodec (arXiv 2210.13438) codec, trained by encodec-lab for {trained.step} generator steps.",
        "",
        f"- audio: {config.sample_rate_hz} Hz, {'mono' if config.channels == 1 else 'stereo'}, "
        f"{'causal' if config.causal else 'not causal'}",
        f"- bandwidths: {', '.join(f'{kbps:g}' for kbps in config.bandwidths)} kbps",
        f"- parameters: {num_parameters / 1e6:.2f} million",
        f"- training data: `{trained.run_config['data']['train']}`",
        "",
        "Use: `encodec --model PATH_OF_THIS_FOLDER INPUT.wav`",
        "",
    ]
    if scores:
        lines += [
            "Means over the validation clips of the last validation in training:",
            "",
            "| bandwidth | SI-SNR, dB | mel distance |",
            "|---|---|---|",
        ]
        for kbps in config.bandwidths:
            cells = (scores.get(f"valid/{metric}/{kbps:g}kbps") for metric in ("si_snr_db", "mel_distance"))
            lines.append(
                f"| {kbps:g} kbps | "
                + " | ".join("–" if cell is None else f"{cell:.2f}" for cell in cells)
                + " |"
            )
    return "\n".join(lines) + "\n"
