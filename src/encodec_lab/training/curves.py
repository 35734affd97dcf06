"""The curves of a run as one picture, drawn from its metrics.csv."""

import csv
import math
from collections import defaultdict
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")

_PANELS = {
    "losses": ("train/l1", "train/mel", "train/commitment"),
    "adversary": ("train/adversarial", "train/feature_matching", "train/discriminator"),
    "gradient norms": ("train/gradient_norm", "train/discriminator_gradient_norm"),
    "balancer ratios": ("balancer/ratio/",),
    "SI-SNR, dB": ("valid/si_snr_db/",),
    "mel distance": ("valid/mel_distance/",),
    "codebook entries in use": ("codebook/used/",),
    "codebook perplexity": ("codebook/perplexity/",),
}
_SMOOTHED_PREFIX = "train/"
_MAX_LABELS = 8

Curves = dict[str, list[tuple[int, float]]]


def read_curves(metrics_csv: str | Path) -> Curves:
    """(step, value) pairs by name from a metrics.csv that Lightning's CSVLogger wrote; other cells are left out."""
    curves: Curves = defaultdict(list)
    with open(metrics_csv, newline="") as file:
        for row in csv.DictReader(file):
            step = int(float(row["step"]))
            for name, text in row.items():
                if text and name not in ("step", "epoch"):
                    value = float(text)
                    if math.isfinite(value):
                        curves[name].append((step, value))
    return dict(curves)


def draw_curves(metrics_csv: str | Path, picture: str | Path) -> None:
    """Draw losses, scores and codebook usage over steps to a PNG file; panels without data are left empty."""
    curves = read_curves(metrics_csv)
    figure = Figure(figsize=(16, 8), layout="constrained")
    for panel, (title, prefixes) in zip(figure.subplots(2, 4).flat, _PANELS.items(), strict=True):
        panel.set_title(title)
        panel.set_xlabel("generator step")
        panel.grid(alpha=0.3)
        names = [name for name in sorted(curves, key=_by_number) if name.startswith(prefixes)]
        for position, name in enumerate(names):
            steps, values = zip(*curves[name], strict=True)
            smoothed = _smooth(values) if name.startswith(_SMOOTHED_PREFIX) else list(values)
            labelled = len(names) <= _MAX_LABELS or position in (0, len(names) - 1)
            color = (
                None if len(names) <= _MAX_LABELS else matplotlib.colormaps["viridis"](position / len(names))
            )
            panel.plot(steps, smoothed, label=name.rsplit("/", 1)[-1] if labelled else None, color=color)
        if names:
            panel.legend(fontsize="small")
    figure.savefig(picture, dpi=90)


def _by_number(name: str) -> tuple[str, float]:
    """Order names by the number that their last part begins with, as in 1.5kbps < 12kbps."""
    head, _, tail = name.rpartition("/")
    digits = tail.removesuffix("kbps")
    try:
        return head, float(digits)
    except ValueError:
        return name, 0.0


def _smooth(values: tuple[float, ...]) -> list[float]:
    """Exponential moving average, over about a thirtieth of the curve."""
    decay = 1 - 1 / max(1.0, len(values) / 30)
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total = decay * total + value
        weight = decay * weight + 1
        smoothed.append(total / weight)
    return smoothed
