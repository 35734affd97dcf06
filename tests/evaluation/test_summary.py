"""Means, intervals and counts of what was not scored."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.scored_metrics import SI_SNR, STOI
from encodec_lab.evaluation.summary import (
    ALL_DOMAINS,
    bootstrap_interval,
    format_summaries,
    summarise,
    write_summaries,
)


def _row(
    domain: str, kbps: float | None, score: float | None, duration_s: float = 1.0, system: str = "codec"
) -> EvaluationRow:
    scores = {} if score is None else {"si_snr_db": score}
    true_kbps = None if kbps is None else kbps + 0.1 * duration_s
    return EvaluationRow(system, "a", domain, kbps, true_kbps, duration_s, 24_000, scores, {})


def test_mean_by_domain_and_bandwidth_and_over_all_domains() -> None:
    rows = [_row("speech", 6, 1), _row("speech", 6, 3), _row("music", 6, 8), _row("speech", 3, 0)]
    means = {(summary.domain, summary.bandwidth_kbps): summary.mean for summary in summarise(rows, (SI_SNR,))}
    assert means == {
        ("music", 6): 8,
        ("speech", 3): 0,
        ("speech", 6): 2,
        (ALL_DOMAINS, 3): 0,
        (ALL_DOMAINS, 6): 4,
    }


def test_systems_are_apart_in_the_order_of_their_rows_and_anchors_have_no_rate(tmp_path: Path) -> None:
    rows = [_row("speech", kbps, score, system=name) for name, kbps, score in
            (("z", 6, 1), ("low-pass", None, 2), ("a", 12, 3), ("a", 6, 4), ("z", 6, 5))]  # fmt: skip
    summaries = summarise(rows, (SI_SNR,))
    assert [(one.system, one.bandwidth_kbps, one.mean) for one in summaries] == [
        ("z", 6, 3),
        ("low-pass", None, 2),
        ("a", 6, 4),
        ("a", 12, 3),
    ]
    assert summaries[1].true_kbps is None
    write_summaries(tmp_path / "summary.csv", summaries)
    with open(tmp_path / "summary.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["mean"] for line in lines] == ["3.0", "2.0", "4.0", "3.0"]
    assert (lines[1]["bandwidth_kbps"], lines[1]["num_scored"], lines[1]["low"]) == ("", "1", "")


def test_one_domain_has_no_summary_over_all() -> None:
    assert {summary.domain for summary in summarise([_row("speech", 6, 1)], (SI_SNR,))} == {"speech"}


def test_not_scored_are_counted_and_not_averaged() -> None:
    rows = [_row("speech", 6, 5), _row("speech", 6, None), _row("speech", 6, None)]
    si_snr_summary, stoi_summary = summarise(rows, (SI_SNR, STOI))
    assert (si_snr_summary.mean, si_snr_summary.num_scored, si_snr_summary.num_not_scored) == (5, 1, 2)
    assert (si_snr_summary.low, si_snr_summary.high) == (None, None)
    assert (stoi_summary.mean, stoi_summary.num_scored, stoi_summary.num_not_scored) == (None, 0, 3)


def test_infinite_scores_are_as_if_not_scored() -> None:
    rows = [_row("speech", 6, score) for score in (1.0, math.inf, 3.0, -math.inf)]
    (summary,) = summarise(rows, (SI_SNR,))
    assert (summary.mean, summary.num_scored, summary.num_not_scored) == (2, 2, 2)
    assert summary.low == 1


def test_true_rate_weights_files_by_duration() -> None:
    (summary,) = summarise([_row("speech", 6, 1, 1.0), _row("speech", 6, 1, 3.0)], (SI_SNR,))
    assert summary.true_kbps == pytest.approx((6.1 * 1 + 6.3 * 3) / 4)


def test_interval_is_that_of_the_normal_theory_for_many_scores() -> None:
    scores = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap_interval(list(scores))
    half_width = 1.96 * scores.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(scores.mean() - half_width, abs=0.03)
    assert high == pytest.approx(scores.mean() + half_width, abs=0.03)
    assert (low, high) == bootstrap_interval(list(scores))


def test_narrower_confidence_is_a_narrower_interval() -> None:
    low, high = bootstrap_interval([1.0, 2.0, 5.0, 9.0])
    inner_low, inner_high = bootstrap_interval([1.0, 2.0, 5.0, 9.0], confidence=0.5)
    assert low < inner_low < inner_high < high


def test_impossible_intervals() -> None:
    with pytest.raises(ValueError, match="0 scores"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="95"):
        bootstrap_interval([1.0], confidence=95)


def test_text_for_a_terminal() -> None:
    rows = [
        _row("speech", 6, 1.0),
        _row("speech", 12, None),
        _row("speech", None, 2, system="low-pass 7 kHz"),
    ]
    assert format_summaries(summarise(rows, (SI_SNR,)), (SI_SNR,)).splitlines() == [
        "domain      system            kbps    true        SI-SNR",
        "speech      codec                6    6.10          1.00",
        "speech      codec               12   12.10             -",
        "speech      low-pass 7 kHz       -       -          2.00",
    ]
