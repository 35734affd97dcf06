"""Comparisons of pairs, against a calculation of their own."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.pairwise import compare_pairs, write_comparisons
from encodec_lab.evaluation.scored_metrics import MEL_DISTANCE, SI_SNR


def _row(
    system: str,
    kbps: float | None,
    file: str,
    score: float | None,
    true_kbps: float | None = None,
    domain: str = "speech",
) -> EvaluationRow:
    scores = {} if score is None else {"si_snr_db": score, "mel_distance": score}
    return EvaluationRow(system, file, domain, kbps, true_kbps or kbps, 2.0, 24_000, scores, {})


def test_difference_interval_and_wins_are_those_of_the_pairs() -> None:
    draws = np.random.default_rng(0)
    common = draws.normal(0, 20, 200)
    first, second = common + draws.normal(0.5, 1, 200), common
    second[:3] = first[:3]
    rows = [_row("a", 6, str(index), score) for index, score in enumerate(first)]
    rows += [_row("b", 6, str(index), second[index]) for index in reversed(range(200))]
    snr, mel = compare_pairs(rows, (SI_SNR, MEL_DISTANCE))
    differences = first - second
    half_width = 1.96 * differences.std(ddof=1) / np.sqrt(200)
    assert snr.mean_difference == pytest.approx(differences.mean())
    assert snr.low == pytest.approx(differences.mean() - half_width, abs=0.03)
    assert snr.high == pytest.approx(differences.mean() + half_width, abs=0.03)
    wins = ((differences > 0).sum() + 1.5) / 200
    assert snr.win_rate == pytest.approx(wins)
    assert (snr.num_files, snr.system, snr.other_system) == (200, "a", "b")
    # Of a distance the lower one wins.
    assert (mel.mean_difference, mel.win_rate) == (snr.mean_difference, pytest.approx(1 - wins))


def test_interval_is_the_percentiles_over_resampled_files() -> None:
    differences = [1.0, 2.0, 6.0]
    rows = [_row("a", 6, str(index), 10.0 + value) for index, value in enumerate(differences)]
    rows += [_row("b", 6, str(index), 10.0) for index in range(3)]
    (made,) = compare_pairs(rows, (SI_SNR,))
    # All 27 equally likely resamples of three files.
    means = [
        sum(draw) / 3 for draw in ((x, y, z) for x in differences for y in differences for z in differences)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    assert (made.low, made.high) == (pytest.approx(low, abs=0.34), pytest.approx(high, abs=1.4))


def test_only_files_that_both_have_count() -> None:
    rows = [_row("a", 6, "1", 5.0), _row("a", 6, "2", 9.0), _row("a", 6, "3", None)]
    rows += [_row("b", 6, "1", 4.0), _row("b", 6, "3", 1.0), _row("b", 6, "4", 0.0)]
    (made,) = compare_pairs(rows, (SI_SNR,))
    assert (made.num_files, made.mean_difference, made.win_rate) == (1, 1.0, 1.0)
    assert (made.low, made.high) == (None, None)
    assert compare_pairs([_row("a", 6, "1", 1.0), _row("b", 6, "2", 1.0)], (SI_SNR,)) == []


def test_each_bandwidth_meets_the_nearest_true_rate_and_anchors_meet_none() -> None:
    rows = [_row("a", kbps, "1", 1.0) for kbps in (1.5, 6, 12)]
    rows += [_row("opus", kbps, "1", 1.0, true) for kbps, true in ((6, 6.9), (12, 11.0), (24, 27.0))]
    rows.append(_row("low-pass", None, "1", 1.0))
    made = compare_pairs(rows, (SI_SNR,))
    assert [(one.bandwidth_kbps, one.other_bandwidth_kbps, one.other_true_kbps) for one in made] == [
        (1.5, 6, 6.9),
        (6, 6, 6.9),
        (12, 12, 11.0),
    ]
    assert {(one.system, one.other_system) for one in made} == {("a", "opus")}


def test_each_domain_and_all_together(tmp_path: Path) -> None:
    rows = [_row(name, 6, domain, 1.0, domain=domain) for name in "ab" for domain in ("music", "speech")]
    made = compare_pairs(rows, (SI_SNR,))
    assert [(one.domain, one.num_files) for one in made] == [("music", 1), ("speech", 1), ("all", 2)]
    write_comparisons(tmp_path / "pairs.csv", made)
    with open(tmp_path / "pairs.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["win_rate"] for line in lines] == ["0.5"] * 3
    assert lines[0]["low"] == ""


def test_infinite_scores_are_left_out() -> None:
    rows = [_row("a", 6, str(index), score) for index, score in enumerate((math.inf, 1.0, 2.0))]
    rows += [_row("b", 6, str(index), score) for index, score in enumerate((math.inf, 0.0, -math.inf))]
    (comparison,) = compare_pairs(rows, (SI_SNR,))
    assert (comparison.mean_difference, comparison.win_rate, comparison.num_files) == (1, 1, 1)
