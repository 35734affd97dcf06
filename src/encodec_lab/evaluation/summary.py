"""Means over files with bootstrap intervals, per domain and bandwidth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric

ALL_DOMAINS = "all"
_NUM_RESAMPLES = 2_000
_SEED = 0


@dataclass(frozen=True)
class MetricSummary:
    """One metric over the files of one domain at one bandwidth.

    Attributes:
        domain: `ALL_DOMAINS` for the files of all domains together.
        bandwidth_kbps: what the codec was set to.
        true_kbps: total bits over total duration of the files.
        metric: its name.
        mean: over the files that could be scored; None if none could.
        low: lower end of the 95 % bootstrap interval of the mean; None with fewer than two scores.
        high: its upper end.
        num_scored: files with a score.
        num_not_scored: files without.
    """

    domain: str
    bandwidth_kbps: float
    true_kbps: float
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    num_scored: int
    num_not_scored: int


def summarise(
    rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric] = METRICS
) -> list[MetricSummary]:
    """Summaries by domain (all together last, if there are several), then bandwidth, then metric."""
    domains = sorted({row.domain for row in rows})
    groups = [(domain, [row for row in rows if row.domain == domain]) for domain in domains]
    if len(domains) > 1:
        groups.append((ALL_DOMAINS, list(rows)))
    summaries = []
    for domain, members in groups:
        for bandwidth_kbps in sorted({row.bandwidth_kbps for row in members}):
            chosen = [row for row in members if row.bandwidth_kbps == bandwidth_kbps]
            summaries += [
                _summarise_metric(domain, bandwidth_kbps, chosen, metric.name) for metric in metrics
            ]
    return summaries


def format_summaries(summaries: Sequence[MetricSummary], metrics: Sequence[ScoredMetric] = METRICS) -> str:
    """The means as lines of text for a terminal; "-" where nothing could be scored."""
    lines = [f"{'domain':<12}{'kbps':>6}" + "".join(f"{metric.label:>14}" for metric in metrics)]
    means = {(one.domain, one.bandwidth_kbps, one.metric): one.mean for one in summaries}
    for domain, kbps in dict.fromkeys((one.domain, one.bandwidth_kbps) for one in summaries):
        line = f"{domain:<12}{kbps:>6g}"
        for metric in metrics:
            mean = means[domain, kbps, metric.name]
            line += f"{'-':>14}" if mean is None else f"{mean:>14.{metric.num_decimals}f}"
        lines.append(line)
    return "\n".join(lines)


def _summarise_metric(
    domain: str, bandwidth_kbps: float, rows: Sequence[EvaluationRow], metric: str
) -> MetricSummary:
    scores = [row.scores[metric] for row in rows if metric in row.scores]
    low, high = bootstrap_interval(scores) if len(scores) > 1 else (None, None)
    kilobits = sum(row.true_kbps * row.duration_s for row in rows)
    return MetricSummary(
        domain=domain,
        bandwidth_kbps=bandwidth_kbps,
        true_kbps=kilobits / sum(row.duration_s for row in rows),
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
