"""One file at one bandwidth, scored; and many of them as CSV."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric


@dataclass(frozen=True)
class EvaluationRow:
    """One file at one bandwidth.

    Attributes:
        file: the path as it was given.
        domain: "speech", "music": see `domain_of`.
        bandwidth_kbps: the bandwidth that the codec was set to.
        true_kbps: from the size of the compressed stream, headers and all, and the duration.
        duration_s: of the audio.
        scores: by the metric's name; a metric that could not score is absent.
        not_scored: the reason, by the metric's name.
    """

    file: str
    domain: str
    bandwidth_kbps: float
    true_kbps: float
    duration_s: float
    scores: Mapping[str, float]
    not_scored: Mapping[str, str]


def write_csv(
    path: str | Path, rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric] = METRICS
) -> None:
    """Write the rows as CSV, whole or not at all; a metric that could not score has an empty cell and a reason."""
    facts = ("file", "domain", "bandwidth_kbps", "true_kbps", "duration_s")
    names = [metric.name for metric in metrics]
    with atomic_file(path) as staged, open(staged, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*facts, *names, "not_scored"])
        for row in rows:
            scores = [row.scores.get(name, "") for name in names]
            reasons = "; ".join(f"{name}: {reason}" for name, reason in row.not_scored.items())
            writer.writerow([*(getattr(row, fact) for fact in facts), *scores, reasons])
