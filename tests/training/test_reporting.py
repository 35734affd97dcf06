import re

import pytest

from encodec_lab.training.reporting import RunReporter


class Finished:
    """As much of a trainer as the callback looks at."""

    is_global_zero = True
    sanity_checking = False
    global_step = 40
    loggers = ()
    callback_metrics = {
        "valid/si_snr_db/1.5kbps": 3.14159,
        "valid/si_snr_db/6kbps": 7.0,
        "valid/mel_distance/1.5kbps": 1.0,
        "train/l1": 9.0,
    }


def test_a_line_for_a_validation(tmp_path, capsys):
    RunReporter(tmp_path).on_validation_end(Finished(), None)
    assert re.fullmatch(
        r"step 40, \d+ s: SI-SNR, dB: 1.5kbps 3.14, 6kbps 7.00; Mel distance: 1.5kbps 1.000\n",
        capsys.readouterr().err,
    )


def test_the_curves_are_drawn_at_the_end(tmp_path, capsys):
    (tmp_path / "metrics.csv").write_text("step,train/l1,valid/si_snr_db/6kbps\n1,2.5,\n2,2.0,3.5\n")
    (tmp_path / "samples").mkdir()
    RunReporter(tmp_path).on_fit_end(Finished(), None)
    page = (tmp_path / "curves.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Training"]
    assert re.findall(r"<h3>(.*?)</h3>", page) == ["SI-SNR on the validation clips", "Reconstruction losses"]
    assert page.count("<svg") == 2
    told = capsys.readouterr().err
    for place in ("metrics.csv", "curves.html", "samples"):
        assert str(tmp_path / place) in told


@pytest.mark.parametrize("text", [None, "epoch,step\n"])
def test_a_run_that_logged_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    RunReporter(tmp_path).on_fit_end(Finished(), None)
    assert (tmp_path / "curves.html").is_file() == (text is not None)
