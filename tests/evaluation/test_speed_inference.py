"""The benchmark of inference and the floor under it."""

import math
from pathlib import Path

import pytest
import torch
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec
from torch import nn

from encodec_lab.evaluation.csv_table import read_table
from encodec_lab.evaluation.speed_floor import Peak, Work, measure_peak, work_of
from encodec_lab.evaluation.speed_inference import benchmark_inference
from encodec_lab.models.config import ENCODEC_24KHZ
from encodec_lab.models.encodec import EncodecModel


def test_work_is_that_of_the_layers() -> None:
    """Of one layer reckoned by hand, and of the published encoder: 2.9 G operations a second of audio."""
    model = random_codec(SMALL_24KHZ)
    model.encoder.model = nn.Sequential(model.encoder.model[0])  # 1 to 2 channels, 7 taps
    model.decoder.model = nn.Sequential(nn.Identity())
    model.set_target_bandwidth(0.9)
    encode, decode = work_of(model, 1.0)
    search = (
        2 * 24_000 * 2 * 64 * 8
    )  # two codebooks of 64 entries in 8 dimensions, for every one of 24,000 "frames"
    assert encode.operations == 2 * 7 * 2 * 24_000 + search
    assert decode == Work(0.0, 0.0)
    published = EncodecModel(ENCODEC_24KHZ)
    published.set_target_bandwidth(6.0)
    encode, decode = work_of(published, 2.0)
    lstm = 2 * 2 * 75 * 2 * 4 * 512 * (512 + 512)
    assert 2 * lstm < encode.operations < 2.2 * 3.1e9
    assert work_of(published, 4.0)[0].operations == pytest.approx(2 * encode.operations, rel=1e-6)


def test_overlapping_segments_are_more_work() -> None:
    model = random_codec(SMALL_48KHZ)
    once, _ = work_of(model, 1.0)
    assert once.operations > 0
    assert work_of(model, 99.0)[0].operations / once.operations == pytest.approx(99.0, rel=1e-6)


def test_the_floor_is_what_takes_longer() -> None:
    peak = Peak(operations_per_s=100.0, bytes_per_s=10.0)
    assert peak.floor_s(Work(200.0, 10.0)) == 2.0
    assert peak.floor_s(Work(200.0, 50.0)) == 5.0


def test_peaks_are_measured_and_threads_left_as_they_were() -> None:
    before = torch.get_num_threads()
    peak = measure_peak()
    assert 1e9 < peak.operations_per_s < 1e13 and 1e8 < peak.bytes_per_s < 1e13
    assert torch.get_num_threads() == before


def test_table_and_page(tmp_path: Path) -> None:
    model, twin = random_codec(SMALL_24KHZ), random_codec(SMALL_24KHZ)
    said: list[str] = []
    # The twin on one thread only: two of OpenMP's wait for each other by spinning, badly on a busy machine.
    paired = benchmark_inference({"paired": (model, twin)}, tmp_path / "new", (0.1,), (1,), said.append)
    codecs = {"alone": (random_codec(SMALL_48KHZ),)}
    timings = benchmark_inference(codecs, tmp_path / "new", (0.1, 0.2), (1, 2), said.append)
    assert len(paired) == 2 and len(timings) == 8 and len(said) == 12
    table = read_table(tmp_path / "new/inference.csv")
    assert [
        (line["codec"], line["direction"], line["duration_s"], line["num_threads"]) for line in table[:3]
    ] == [
        ("alone", "encode", "0.1", "1"),
        ("alone", "decode", "0.1", "1"),
        ("alone", "encode", "0.1", "2"),
    ]
    for timing in (*paired, *timings):
        assert timing.seconds > 0 and timing.num_pairs == 5 and 0 < timing.peak_share < 1
        assert math.isnan(timing.ratio) == (timing.codec == "alone")
    page = (tmp_path / "new/inference.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 9 and page.count('<rect class="bar"') == 8
    assert "no reference here" in said[-1] and "reference" in said[1]
