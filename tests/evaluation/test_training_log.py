"""The CSV file of a training run as charts."""

from itertools import pairwise
from pathlib import Path

import pytest

from encodec_lab.evaluation.training_log import CODEC_CHARTS, ChartPlan, curves_of, read_training_records


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_sparse_rows_as_lightning_writes_them(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "metrics.csv", "epoch,step,train/loss/mel,valid/x\n0,9,1.5,\n0,19,,2.5\n0,29,nan,\n,,,\n"
    )
    assert read_training_records(path) == [
        (9, {"epoch": 0, "train/loss/mel": 1.5}),
        (19, {"epoch": 0, "valid/x": 2.5}),
        (29, {"epoch": 0}),
    ]


def test_a_file_without_steps(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column named step"):
        read_training_records(_write(tmp_path / "metrics.csv", "a,b\n1,2\n"))


def test_bandwidths_are_in_ascending_order() -> None:
    records = [
        (1, {"valid/x/12kbps": 4.0, "valid/x/1.5kbps": 1.0, "valid/xy": 9.0}),
        (2, {"valid/x/6kbps": 3.0}),
    ]
    curves = curves_of(ChartPlan("X", "x", ("valid/x/",)), records)
    assert [curve.label for curve in curves] == ["1.5 kbps", "6 kbps", "12 kbps"]


def test_exact_names_in_the_order_of_the_plan_and_steps_in_theirs() -> None:
    records = [(3, {"train/mel": 2.0}), (1, {"train/mel": 1.0, "train/l1": 0.1, "train/mel_other": 9.0})]
    mel, l1 = curves_of(ChartPlan("Losses", "loss", ("train/mel", "train/l1", "train/missing")), records)
    assert (mel.label, mel.steps, mel.values) == ("mel", (1, 3), (1.0, 2.0))
    assert (l1.label, l1.steps, l1.values) == ("l1", (1,), (0.1,))


def test_smoothing_averages_without_bias() -> None:
    records = [(step, {"a": 1.0 if step % 2 else 3.0}) for step in range(600)]
    (smooth,) = curves_of(ChartPlan("A", "a", ("a",), smooth=True), records)
    assert smooth.values[0] == 3.0
    assert smooth.values[100:] == pytest.approx([2.0] * 500, abs=0.1)
    (raw,) = curves_of(ChartPlan("A", "a", ("a",)), records)
    assert raw.values[:4] == (3.0, 1.0, 3.0, 1.0)


@pytest.mark.parametrize("num_records", [999, 1_000, 1_001, 25_000])
def test_a_long_run_is_drawn_with_few_points(num_records: int) -> None:
    records = [(step, {"a": 2.0 * step}) for step in range(num_records)]
    (curve,) = curves_of(ChartPlan("A", "a", ("a",)), records)
    assert min(500, num_records) <= len(curve.steps) <= 1_000
    assert (curve.steps[-1], curve.values[-1]) == (num_records - 1, 2.0 * (num_records - 1))
    assert len({later - step for step, later in pairwise(curve.steps)}) == 1
    assert all(value == 2.0 * step for step, value in zip(curve.steps, curve.values, strict=True))


def test_logarithmic_charts_leave_out_what_has_no_logarithm() -> None:
    records = [(0, {"a": 0.0, "b": 0.0}), (1, {"a": 2.0, "b": -1.0})]
    (curve,) = curves_of(ChartPlan("A", "a", ("a", "b"), logarithmic=True), records)
    assert (curve.label, curve.steps, curve.values) == ("a", (1,), (2.0,))


def test_charts_of_a_codec_find_what_its_training_logs() -> None:
    """The names are those of `codec_module.py`, `validation.py`, `slow_scores.py` and `usage_counter.py`."""
    names = [f"valid/{metric}/6kbps" for metric in ("si_snr_db", "mel_distance", "pesq", "stoi", "visqol")]
    names += ["train/mel", "train/discriminator"]
    names += ["balancer/ratio/mel", "train/gradient_norm", "codebook/used/00", "codebook/perplexity/00"]
    records = [(1, dict.fromkeys(names, 1.0))]
    assert all(len(curves_of(plan, records)) == 1 for plan in CODEC_CHARTS)
