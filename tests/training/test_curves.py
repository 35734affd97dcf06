import csv

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from encodec_lab.evaluation.training_log import CODEC_CHARTS
from encodec_lab.training.curves import draw_curves

NAMES = [
    "train/l1",
    "train/discriminator",
    "train/gradient_norm",
    "balancer/ratio/mel",
    "valid/si_snr_db/1.5kbps",
    "valid/si_snr_db/12kbps",
    "valid/mel_distance/1.5kbps",
    *(f"codebook/used/{k:02d}" for k in range(12)),
]


@pytest.fixture
def metrics_csv(tmp_path):
    """Rows of steps and rows of validations, with the empty cells that a logger leaves."""
    path = tmp_path / "metrics.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "step", *NAMES])
        writer.writeheader()
        for step in range(10):
            values = {name: 0.5 + 0.01 * step for name in NAMES if name.startswith(("train", "balancer"))}
            writer.writerow({"step": step, "epoch": 0} | values)
            if step % 5 == 4:
                values = {name: 0.3 for name in NAMES if name.startswith(("valid", "codebook"))}
                writer.writerow({"step": step, "epoch": 0} | values)
    return path


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved while the test runs."""
    saved = []
    original = Figure.savefig

    def savefig(figure, *arguments, **options):
        saved.append(figure)
        original(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def test_a_panel_for_each_chart(metrics_csv, figures, tmp_path):
    draw_curves(metrics_csv, tmp_path / "curves.png")
    assert imread(tmp_path / "curves.png").shape[1] > 1000
    [figure] = figures
    panels = {panel.get_title(): panel for panel in figure.axes if panel.get_title()}
    assert list(panels) == [chart.title for chart in CODEC_CHARTS]
    num_lines = [len(panel.get_lines()) for panel in panels.values()]
    assert num_lines == [2, 1, 1, 1, 1, 1, 12, 0]
    labels = [text.get_text() for text in panels["SI-SNR on the validation clips"].get_legend().get_texts()]
    assert labels == ["1.5 kbps", "12 kbps"]
    many = panels["Entries in use, a line per codebook"].get_legend().get_texts()
    assert [text.get_text() for text in many] == ["00", "11"]


def test_a_run_that_logged_nothing(figures, tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step\n")
    draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()
