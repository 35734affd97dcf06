"""The curves of a training run, read from the CSV file that it logs to."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from encodec_lab.evaluation.scored_metrics import METRICS_WITH_VISQOL

# A chart is no wider than this in pixels.
_MOST_POINTS = 1_000

TrainingRecord = tuple[int, Mapping[str, float]]


@dataclass(frozen=True)
class ChartPlan:
    """Which curves share a chart.

    Attributes:
        title: of the chart.
        y_label: of its axis.
        names: of the logged values; one that ends in "/" stands for all values whose names begin so.
        smooth: draw a moving average over a thirtieth of the run.
        logarithmic: leave out what is not positive.
        folded: shown only on request.
    """

    title: str
    y_label: str
    names: tuple[str, ...]
    smooth: bool = False
    logarithmic: bool = False
    folded: bool = False


def _loss_chart(title: str, y_label: str, names: tuple[str, ...], folded: bool = False) -> ChartPlan:
    return ChartPlan(title, y_label, names, smooth=True, logarithmic=True, folded=folded)


CODEC_CHARTS = (
    *(
        ChartPlan(f"{metric.label} on the validation clips", metric.heading, (f"valid/{metric.name}/",))
        for metric in METRICS_WITH_VISQOL
    ),
    _loss_chart(
        "Reconstruction losses",
        "loss",
        ("train/l1", "train/mel", "train/compressed_spectrum", "train/commitment"),
    ),
    _loss_chart(
        "Adversarial losses", "loss", ("train/adversarial", "train/feature_matching", "train/discriminator")
    ),
    ChartPlan("Share of the gradient", "ratio", ("balancer/ratio/",), smooth=True, folded=True),
    _loss_chart(
        "Gradient norms", "norm", ("train/gradient_norm", "train/discriminator_gradient_norm"), folded=True
    ),
    ChartPlan("Entries in use, a line per codebook", "share", ("codebook/used/",), folded=True),
    ChartPlan("Perplexity, a line per codebook", "perplexity", ("codebook/perplexity/",), folded=True),
)


@dataclass(frozen=True)
class Curve:
    """One line of a chart: values over generator steps."""

    label: str
    steps: Sequence[int]
    values: Sequence[float]


def read_training_records(path: str | Path) -> list[TrainingRecord]:
    """Read a CSV file with a `step` column; empty cells and cells that are not finite numbers are left out.

    Raises:
        ValueError: the file has no `step` column.
    """
    records: list[TrainingRecord] = []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if "step" not in (reader.fieldnames or ()):
            raise ValueError(f"{path}: a column named step is needed, got {reader.fieldnames}")
        for line in reader:
            step = _number(line.pop("step"))
            values = {name: number for name, cell in line.items() if (number := _number(cell)) is not None}
            if step is not None and values:
                records.append((int(step), values))
    return records


def curves_of(plan: ChartPlan, records: Sequence[TrainingRecord]) -> list[Curve]:
    """The curves of one chart, in the order of the plan; within a prefix by number, so that 1.5kbps < 12kbps."""
    points: dict[str, list[tuple[int, float]]] = {}
    for step, values in records:
        for name, value in values.items():
            points.setdefault(name, []).append((step, value))
    curves = []
    for wanted in plan.names:
        for name in sorted(points, key=_by_number):
            if name == wanted or (wanted.endswith("/") and name.startswith(wanted)):
                shown = [point for point in sorted(points[name]) if point[1] > 0 or not plan.logarithmic]
                if shown:
                    steps, ordered = zip(*shown, strict=True)
                    smoothed = _smoothed(ordered) if plan.smooth else ordered
                    kept = _kept(len(steps))
                    curves.append(Curve(_label(name), steps[kept], smoothed[kept]))
    return curves


def _kept(num_points: int) -> slice:
    """Every n-th point, the last among them, such that no more are left than a chart can show."""
    every = math.ceil(num_points / _MOST_POINTS)
    return slice((num_points - 1) % every, None, every)


def _label(name: str) -> str:
    return name.rsplit("/", 1)[-1].replace("kbps", " kbps").replace("_", " ")


def _by_number(name: str) -> tuple[str, float]:
    head, _, tail = name.rpartition("/")
    return head, _number(tail.removesuffix("kbps")) or 0.0


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential moving average over about a thirtieth of the values, unbiased at the start."""
    decay = 1 - 1 / max(1.0, len(values) / 30)
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total = decay * total + value
        weight = decay * weight + 1
        smoothed.append(total / weight)
    return smoothed


def _number(cell: str | None) -> float | None:
    try:
        number = float(cell or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
