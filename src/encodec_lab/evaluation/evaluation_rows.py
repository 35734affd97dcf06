"""One file through one system at one bandwidth, scored; and many of them as CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from encodec_lab.evaluation.csv_table import write_table
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric


@dataclass(frozen=True)
class EvaluationRow:
    """One file through one system at one bandwidth.

    Attributes:
        system: the codec's name, "opus", "mp3", "low-pass 3.5 kHz", "low-pass 7 kHz".
        file: the path as it was given.
        domain: "speech", "music": see `domain_of`.
        bandwidth_kbps: what was asked of the system; None for an anchor.
        true_kbps: from the size of the compressed file, headers and all, and the duration; None for an anchor.
        duration_s: of the audio.
        sample_rate_hz: at which the system's output was compared with the original.
        scores: by the metric's name; a metric that could not score is absent.
        not_scored: the reason, by the metric's name.
        identity: tells the system from another of the same name: of a codec, the start of its weights' hash.
    """

    system: str
    file: str
    domain: str
    bandwidth_kbps: float | None
    true_kbps: float | None
    duration_s: float
    sample_rate_hz: int
    scores: Mapping[str, float]
    not_scored: Mapping[str, str]
    identity: str = ""


_FACTS = (
    "system",
    "file",
    "domain",
    "bandwidth_kbps",
    "true_kbps",
    "duration_s",
    "sample_rate_hz",
    "identity",
)


def write_csv(
    path: str | Path, rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric] = METRICS
) -> None:
    """Write the rows as CSV, whole or not at all; a metric that could not score has an empty cell and a reason."""
    names = [metric.name for metric in metrics]
    cells = [
        [
            *(getattr(row, fact) for fact in _FACTS),
            *(row.scores.get(name) for name in names),
            "; ".join(f"{name}: {reason}" for name, reason in row.not_scored.items()),
        ]
        for row in rows
    ]
    write_table(path, [*_FACTS, *names, "not_scored"], cells)
