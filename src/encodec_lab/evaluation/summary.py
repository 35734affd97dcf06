"""Means over files with bootstrap intervals, per domain, system and bandwidth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encodec_lab.evaluation.csv_table import write_records
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric

ALL_DOMAINS = "all"
_NUM_RESAMPLES = 2_000
_SEED = 0


@dataclass(frozen=True)
class MetricSummary:
    """One metric over the files of one domain through one system at one bandwidth.

    Attributes:
        domain: `ALL_DOMAINS` for the files of all domains together.
        system: its name.
        bandwidth_kbps: what was asked of the system; None for an anchor.
        true_kbps: total bits over total duration of the files; None for an anchor.
        metric: its name.
        mean: over the files that could be scored, with a finite score; None if none could.
        low: lower end of the 95 % bootstrap interval of the mean; None with fewer than two scores.
        high: its upper end.
        num_scored: files with such a score.
        num_not_scored: files without.
    """

    domain: str
    system: str
    bandwidth_kbps: float | None
    true_kbps: float | None
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    num_scored: int
    num_not_scored: int


Condition = tuple[str, float | None]


def summarise(
    rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric] = METRICS
) -> list[MetricSummary]:
    """Summaries by domain (all together last, if there are several), then system, then bandwidth, then metric.

    Systems are in the order of their first rows.
    """
    summaries = []
    for domain, members in rows_by_domain(rows):
        for condition, chosen in rows_by_condition(members).items():
            summaries += [_summarise_metric(domain, condition, chosen, metric.name) for metric in metrics]
    return summaries


def rows_by_domain(rows: Sequence[EvaluationRow]) -> list[tuple[str, list[EvaluationRow]]]:
    """The rows of each domain in alphabetical order; all together last, if there are several."""
    domains = sorted({row.domain for row in rows})
    groups = [(domain, [row for row in rows if row.domain == domain]) for domain in domains]
    return [*groups, (ALL_DOMAINS, list(rows))] if len(domains) > 1 else groups


def rows_by_condition(rows: Sequence[EvaluationRow]) -> dict[Condition, list[EvaluationRow]]:
    """The rows of each system and bandwidth; systems in the order of their first rows, bandwidths ascending."""
    systems = list(dict.fromkeys(row.system for row in rows))
    groups: dict[Condition, list[EvaluationRow]] = {}
    for row in sorted(rows, key=lambda row: (systems.index(row.system), row.bandwidth_kbps or 0.0)):
        groups.setdefault((row.system, row.bandwidth_kbps), []).append(row)
    return groups


def finite_score(row: EvaluationRow, metric: str) -> float | None:
    """None if there is none, or an infinite one, such as the SI-SNR of what came back unchanged: it has no mean."""
    score = row.scores.get(metric)
    return score if score is not None and math.isfinite(score) else None


def true_kbps_of(rows: Sequence[EvaluationRow]) -> float | None:
    """Total bits over total duration; None if a row has no rate."""
    kilobits = [None if row.true_kbps is None else row.true_kbps * row.duration_s for row in rows]
    total = sum(one for one in kilobits if one is not None)
    return None if None in kilobits else total / sum(row.duration_s for row in rows)


def write_summaries(path: str | Path, summaries: Sequence[MetricSummary]) -> None:
    """Write summaries as CSV, a line each, whole or not at all; what is None has an empty cell."""
    write_records(path, MetricSummary, summaries)


def format_summaries(summaries: Sequence[MetricSummary], metrics: Sequence[ScoredMetric] = METRICS) -> str:
    """The means as lines of text for a terminal; "-" where nothing could be scored."""
    width = max([8, *(len(one.system) for one in summaries)]) + 2
    head = f"{'domain':<12}{'system':<{width}}{'kbps':>6}{'true':>8}"
    lines = [head + "".join(f"{metric.label:>14}" for metric in metrics)]
    groups: dict[tuple[str, str, float | None], dict[str, MetricSummary]] = {}
    for one in summaries:
        groups.setdefault((one.domain, one.system, one.bandwidth_kbps), {})[one.metric] = one
    for (domain, system, kbps), by_metric in groups.items():
        true_kbps = next(iter(by_metric.values())).true_kbps
        line = f"{domain:<12}{system:<{width}}{_number(kbps, 'g'):>6}{_number(true_kbps, '.2f'):>8}"
        for metric in metrics:
            line += f"{_number(by_metric[metric.name].mean, f'.{metric.num_decimals}f'):>14}"
        lines.append(line)
    return "\n".join(lines)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _summarise_metric(
    domain: str, condition: Condition, rows: Sequence[EvaluationRow], metric: str
) -> MetricSummary:
    scores = [score for row in rows if (score := finite_score(row, metric)) is not None]
    low, high = bootstrap_interval(scores) if len(scores) > 1 else (None, None)
    system, bandwidth_kbps = condition
    return MetricSummary(
        domain=domain,
        system=system,
        bandwidth_kbps=bandwidth_kbps,
        true_kbps=true_kbps_of(rows),
        metric=metric,
        mean=float(np.mean(scores)) if scores else None,
        low=low,
        high=high,
        num_scored=len(scores),
        num_not_scored=len(rows) - len(scores),
    )


def bootstrap_interval(scores: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean (Efron 1979), the same for the same scores.

    Raises:
        ValueError: no scores, or a confidence outside (0, 1).
    """
    if not scores or not 0 < confidence < 1:
        raise ValueError(f"need scores and a confidence in (0, 1), got {len(scores)} scores and {confidence}")
    values = np.asarray(scores, dtype=np.float64)
    draws = np.random.default_rng(_SEED).integers(len(values), size=(_NUM_RESAMPLES, len(values)))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values[draws].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)
