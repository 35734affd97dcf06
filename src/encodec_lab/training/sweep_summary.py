"""One table of all jobs of a sweep of training runs, made anew at the end of each job from what is there."""

import csv
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.training.local_logger import METRICS_FILE

SUMMARY_FILE = "summary.csv"
# What of the last validation is shown, in this order.
_SHOWN = ("valid/si_snr_db/", "valid/mel_distance/", "valid/lm_kbps/")


def summarize_sweep() -> str | None:
    """Write `summary.csv` into the folder of the sweep that this job belongs to; None if it belongs to none.

    Returns:
        The same as lines of text.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    folder = Path(HydraConfig.get().runtime.output_dir).parent
    rows = sweep_rows(folder)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_file(folder / SUMMARY_FILE) as staged, staged.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    lines = [", ".join(f"{name} {value}" for name, value in row.items()) for row in rows]
    return "\n".join([*lines, f"summary      {folder / SUMMARY_FILE}"])


def sweep_rows(folder: Path) -> list[dict[str, str]]:
    """For each job that has logged its number, the settings in which jobs differ, and its last validation's scores."""
    jobs = sorted(
        (path.parent for path in folder.glob(f"*/{METRICS_FILE}") if path.parent.name.isdecimal()),
        key=lambda job: int(job.name),
    )
    settings = {job: [str(value) for value in OmegaConf.load(job / ".hydra/overrides.yaml")] for job in jobs}
    shared = set.intersection(*(set(values) for values in settings.values())) if jobs else set()
    rows = []
    for job in jobs:
        changes = " ".join(value for value in settings[job] if value not in shared)
        rows.append({"job": job.name, "settings": changes, **_last_scores(job / METRICS_FILE)})
    return rows


def _last_scores(metrics: Path) -> dict[str, str]:
    validations = [
        (step, values)
        for step, values in read_training_records(metrics)
        if any(name.startswith("valid/") for name in values)
    ]
    if not validations:
        return {}
    step, values = validations[-1]
    shown = {
        name.removeprefix("valid/"): f"{values[name]:.4g}"
        for prefix in _SHOWN
        for name in values
        if name.startswith(prefix)
    }
    return {"step": str(step + 1), **shown}
