"""From a training checkpoint to an export that is known to work."""

import datetime
from pathlib import Path

from encodec_lab.compat.formats import check_format, write_format
from encodec_lab.evaluation.scored_metrics import VALIDATION_METRICS
from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.models.export_folder import round_to_half_
from encodec_lab.training.local_logger import METRICS_FILE
from encodec_lab.training.trained_codec import TrainedCodec, load_trained_codec


def export_checkpoint(
    checkpoint: str | Path,
    output: str | Path,
    name: str | None = None,
    format: str = "folder",
    bandwidth: float | None = None,
    half: bool = False,
) -> TrainedCodec:
    """Write the codec of a checkpoint in a format of `compat.formats`, reloaded and compared before it appears.

    With `half` its weights are rounded to half precision first.

    Raises:
        ValueError: see `load_trained_codec`, `round_to_half_` and `write_format`.
    """
    check_format(format, bandwidth)
    trained = load_trained_codec(checkpoint, name)
    if half:
        round_to_half_(trained.codec)
    provenance = {
        "checkpoint": Path(checkpoint).name,
        "step": trained.step,
        "exported": datetime.date.today().isoformat(),
        "training": trained.run_config,
    }
    scores = _scores_at(Path(checkpoint).parent.parent / METRICS_FILE, trained.step)
    write_format(output, trained.codec, format, provenance, _model_card(trained, scores), bandwidth)
    return trained


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
            "| " + " | ".join(["bandwidth", *(metric.heading for metric in VALIDATION_METRICS)]) + " |",
            "|---" * (1 + len(VALIDATION_METRICS)) + "|",
        ]
        for kbps in config.bandwidths:
            cells = (scores.get(f"valid/{metric.name}/{kbps:g}kbps") for metric in VALIDATION_METRICS)
            lines.append(
                f"| {kbps:g} kbps | "
                + " | ".join("–" if cell is None else f"{cell:.2f}" for cell in cells)
                + " |"
            )
    return "\n".join(lines) + "\n"
