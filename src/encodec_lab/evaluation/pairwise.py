"""Two systems on the same files, compared file by file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from encodec_lab.evaluation.csv_table import write_records
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric
from encodec_lab.evaluation.summary import (
    Condition,
    bootstrap_interval,
    finite_score,
    rows_by_condition,
    rows_by_domain,
    true_kbps_of,
)


@dataclass(frozen=True)
class PairwiseComparison:
    """One metric of a system and of another, over the files that both have a finite score for.

    Attributes:
        domain: `summary.ALL_DOMAINS` for the files of all domains together.
        system: its name.
        bandwidth_kbps: what was asked of it.
        true_kbps: total bits over total duration of these files.
        sample_rate_hz: at which it was compared with the originals.
        other_system: the other's name.
        other_bandwidth_kbps: of the other, and so on.
        other_true_kbps: of the other.
        other_sample_rate_hz: of the other; where it differs, the two were compared with different originals.
        metric: its name.
        mean_difference: of the first system's score from the other's.
        low: lower end of the 95 % bootstrap interval of it, files drawn in pairs; None for a single file.
        high: its upper end.
        win_rate: the share of files on which the first is better; a tie is half a win.
        num_files: how many have both scores.
    """

    domain: str
    system: str
    bandwidth_kbps: float
    true_kbps: float
    sample_rate_hz: int
    other_system: str
    other_bandwidth_kbps: float
    other_true_kbps: float
    other_sample_rate_hz: int
    metric: str
    mean_difference: float
    low: float | None
    high: float | None
    win_rate: float
    num_files: int


def compare_pairs(
    rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric] = METRICS
) -> list[PairwiseComparison]:
    """Compare any two systems that have a rate, each bandwidth of the first with the other's nearest true rate.

    The first is the one whose rows come first. Near is meant as a ratio: 3 is as far from 6 as 12 is.
    """
    comparisons = []
    for domain, members in rows_by_domain(rows):
        conditions = {
            condition: (rate, rows_of)
            for condition, rows_of in rows_by_condition(members).items()
            if condition[1] is not None and (rate := true_kbps_of(rows_of)) is not None
        }
        systems = list(dict.fromkeys(system for system, _ in conditions))
        for first, second in combinations(systems, 2):
            for condition, (rate, rows_of) in conditions.items():
                if condition[0] != first:
                    continue
                candidates = [other for other in conditions if other[0] == second]
                nearest = min(
                    candidates, key=lambda other: (abs(math.log(conditions[other][0] / rate)), other[1])
                )
                others = conditions[nearest][1]
                for metric in metrics:
                    if (made := _compare(domain, condition, rows_of, nearest, others, metric)) is not None:
                        comparisons.append(made)
    return comparisons


def write_comparisons(path: str | Path, comparisons: Sequence[PairwiseComparison]) -> None:
    """Write comparisons as CSV, a line each, whole or not at all."""
    write_records(path, PairwiseComparison, comparisons)


def _compare(
    domain: str,
    condition: Condition,
    rows: Sequence[EvaluationRow],
    other_condition: Condition,
    others: Sequence[EvaluationRow],
    metric: ScoredMetric,
) -> PairwiseComparison | None:
    """None if no file has both scores."""
    by_file = {row.file: row for row in others if finite_score(row, metric.name) is not None}
    pairs = [
        (row, by_file[row.file])
        for row in rows
        if row.file in by_file and finite_score(row, metric.name) is not None
    ]
    if not pairs:
        return None
    differences = [row.scores[metric.name] - other.scores[metric.name] for row, other in pairs]
    sign = 1 if metric.higher_is_better else -1
    wins = [1.0 if sign * one > 0 else 0.5 if one == 0 else 0.0 for one in differences]
    low, high = bootstrap_interval(differences) if len(differences) > 1 else (None, None)
    first, second = pairs[0]
    true_kbps, other_true_kbps = (true_kbps_of(side) for side in zip(*pairs, strict=True))
    assert condition[1] is not None and other_condition[1] is not None
    assert true_kbps is not None and other_true_kbps is not None
    return PairwiseComparison(
        domain=domain,
        system=condition[0],
        bandwidth_kbps=condition[1],
        true_kbps=true_kbps,
        sample_rate_hz=first.sample_rate_hz,
        other_system=other_condition[0],
        other_bandwidth_kbps=other_condition[1],
        other_true_kbps=other_true_kbps,
        other_sample_rate_hz=second.sample_rate_hz,
        metric=metric.name,
        mean_difference=sum(differences) / len(differences),
        low=low,
        high=high,
        win_rate=sum(wins) / len(wins),
        num_files=len(pairs),
    )
