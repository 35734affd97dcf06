"""How fast the form for inference is beside the reference, on recordings of several lengths and on several threads."""

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.evaluation.csv_table import write_records
from encodec_lab.evaluation.html_table import decimal, table_html
from encodec_lab.evaluation.speed import timed
from encodec_lab.evaluation.speed_floor import Peak, measure_peak, work_of
from encodec_lab.evaluation.svg_plots import bar_chart
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.inference import InferenceCodec


@dataclass(frozen=True)
class Timing:
    """One line of the table.

    Attributes:
        codec: its name.
        direction: "encode" or "decode".
        duration_s: of the recording.
        num_threads: torch's for the reference; of one torch thread each for ours.
        seconds: ours, the median.
        reference_seconds: the reference's, the median; NaN without it.
        ratio: the median of the pairs' ratios; NaN without the reference.
        peak_share: of one core's measured peak, times the threads, that ours reaches.
        num_pairs: how often both were measured, in turns.
    """

    codec: str
    direction: str
    duration_s: float
    num_threads: int
    seconds: float
    reference_seconds: float
    ratio: float
    peak_share: float
    num_pairs: int


@dataclass
class _Pair:
    """Measurements of the same work in turns."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def timing(self, name: str, direction: str, duration_s: float, threads: int, floor_s: float) -> Timing:
        ratios = [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=False)]
        seconds = statistics.median(self.ours)
        return Timing(
            name,
            direction,
            duration_s,
            threads,
            seconds,
            statistics.median(self.theirs) if self.theirs else math.nan,
            statistics.median(ratios) if ratios else math.nan,
            floor_s / threads / seconds,
            len(self.ours),
        )


@torch.no_grad()
def compare_inference(
    name: str, model: EncodecModel, reference: Any, wav: Tensor, num_threads: int, num_pairs: int, peak: Peak
) -> tuple[Timing, Timing]:
    """Encoding and decoding of one recording, ours and the reference's in turns; the first pair is left out if it can.

    Args:
        name: in the table.
        model: at the bandwidth wanted.
        reference: the reference's codec of the same architecture, weights and bandwidth, or None.
        wav: [1, C, T].
        num_threads: to use.
        num_pairs: to measure, after one more to warm up if these are several.
        peak: what `measure_peak` gave.
    """
    duration_s = wav.shape[-1] / model.sample_rate
    ours = InferenceCodec(model, num_threads)
    encoding, decoding = _Pair(), _Pair()
    warm_ups = 1 if num_pairs > 1 else 0
    before = torch.get_num_threads()
    try:
        for number in range(num_pairs + warm_ups):
            times: list[tuple[list[float], float]] = []
            torch.set_num_threads(1)
            frames, seconds = timed(lambda: ours.encode(wav))
            times.append((encoding.ours, seconds))
            times.append((decoding.ours, timed(functools.partial(ours.decode, frames))[1]))
            if reference is not None:
                torch.set_num_threads(num_threads)
                frames, seconds = timed(lambda: reference.encode(wav))
                times.append((encoding.theirs, seconds))
                times.append((decoding.theirs, timed(functools.partial(reference.decode, frames))[1]))
            if number >= warm_ups:
                for kept, seconds in times:
                    kept.append(seconds)
    finally:
        torch.set_num_threads(before)
    work = work_of(model, duration_s)
    first, second = (peak.floor_s(part) for part in work)
    return (
        encoding.timing(name, "encode", duration_s, num_threads, first),
        decoding.timing(name, "decode", duration_s, num_threads, second),
    )


def benchmark_inference(
    codecs: Mapping[str, Sequence[Any]],
    folder: Path,
    durations_s: Sequence[float],
    thread_counts: Sequence[int],
    say: Callable[[str], None],
) -> list[Timing]:
    """Measure all combinations, saying each, and write inference.csv and inference.html to `folder`.

    Args:
        codecs: for each name our codec and, if it is at hand, the reference's, of one architecture and bandwidth.
        folder: made if need be.
        durations_s: of the recordings, noise; a minute and more is measured once, less five times.
        thread_counts: to measure on.
        say: prints a line.
    """
    peak = measure_peak()
    say(
        f"peak of one core: {peak.operations_per_s / 1e9:.0f} G operations/s,"
        f" {peak.bytes_per_s / 1e9:.0f} GB/s to and from memory"
    )
    timings: list[Timing] = []
    for name, (model, *reference) in codecs.items():
        for duration_s in durations_s:
            generator = torch.Generator().manual_seed(0)
            shape = (1, model.channels, round(duration_s * model.sample_rate))
            wav = torch.randn(shape, generator=generator).mul_(0.1)
            for num_threads in thread_counts:
                num_pairs = 1 if duration_s >= 60 else 5
                for timing in compare_inference(
                    name, model, reference[0] if reference else None, wav, num_threads, num_pairs, peak
                ):
                    timings.append(timing)
                    say(described(timing))
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "inference.csv", Timing, timings)
    with atomic_file(folder / "inference.html") as staged:
        staged.write_text(_page(timings, peak), encoding="utf-8")
    return timings


def described(timing: Timing) -> str:
    """One line of text."""
    beside = (
        "no reference here"
        if math.isnan(timing.ratio)
        else f"reference {timing.reference_seconds:.2f} s: {timing.ratio:.2f} x"
    )
    threads = "1 thread" if timing.num_threads == 1 else f"{timing.num_threads} threads"
    return (
        f"{timing.codec}, {timing.direction} {timing.duration_s:g} s, {threads}: {timing.seconds:.2f} s"
        f" ({beside}; {timing.duration_s / timing.seconds:.0f} x real time,"
        f" {100 * timing.peak_share:.0f} % of the peak)"
    )


def _page(timings: Sequence[Timing], peak: Peak) -> str:
    """The table and a chart, as a page of its own."""
    headings = ("codec", "", "seconds", "threads", "ours, s", "reference, s", "ratio", "share of peak")
    body = [
        "<tr>"
        + "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (
                timing.codec,
                timing.direction,
                f"{timing.duration_s:g}",
                str(timing.num_threads),
                decimal(timing.seconds, 2),
                "" if math.isnan(timing.ratio) else decimal(timing.reference_seconds, 2),
                "" if math.isnan(timing.ratio) else decimal(timing.ratio, 2),
                f"{100 * timing.peak_share:.0f} %",
            )
        )
        + "</tr>"
        for timing in timings
    ]
    speeds = [timing.duration_s / timing.seconds for timing in timings]
    chart = bar_chart(
        speeds,
        "line of the table, from 0",
        "x real time",
        1.1 * max(speeds),
        [described(timing) for timing in timings],
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Speed of inference</title><style>'
        "body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .7em;text-align:right}"
        ".bar{fill:#3a6ea5}svg text{font-size:11px}</style></head><body><h1>Speed of inference</h1>"
        f"<p>One core's measured peak: {peak.operations_per_s / 1e9:.0f} G operations/s and"
        f" {peak.bytes_per_s / 1e9:.0f} GB/s. The share of it is the least time that the codec's operations and bytes"
        " take at that peak, over the time measured.</p>"
        f"{table_html(headings, body)}{chart}</body></html>\n"
    )
