"""The curves of a run as one picture, drawn from its metrics.csv."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from encodec_lab.evaluation.training_log import CODEC_CHARTS, curves_of, read_training_records

matplotlib.use("Agg")

_NUM_COLUMNS = 4
_MAX_LABELS = 8


def draw_curves(metrics_csv: str | Path, picture: str | Path) -> None:
    """Draw losses, scores and codebook usage over steps to a PNG file; panels without data are left empty."""
    records = read_training_records(metrics_csv)
    figure = Figure(figsize=(4 * _NUM_COLUMNS, 8), layout="constrained")
    panels = figure.subplots(-(-len(CODEC_CHARTS) // _NUM_COLUMNS), _NUM_COLUMNS).flat
    for panel, plan in zip(panels, CODEC_CHARTS, strict=False):
        panel.set_title(plan.title, fontsize="medium")
        panel.set_xlabel("generator step")
        panel.grid(alpha=0.3)
        curves = curves_of(plan, records)
        for position, curve in enumerate(curves):
            style: dict[str, Any] = {}
            if len(curves) > _MAX_LABELS:  # one per codebook: only the first and the last are named
                style["color"] = matplotlib.colormaps["viridis"](position / len(curves))
            if len(curves) <= _MAX_LABELS or position in (0, len(curves) - 1):
                style["label"] = curve.label
            panel.plot(curve.steps, curve.values, **style)
        if curves:
            panel.legend(fontsize="small")
        if plan.logarithmic and curves:
            panel.set_yscale("log")
    figure.savefig(picture, dpi=90)
