"""The section of measured quality: curves over the true rate, tables by domain, systems in pairs, every row."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.html_table import decimal, table_html
from encodec_lab.evaluation.pairwise import PairwiseComparison, compare_pairs
from encodec_lab.evaluation.scored_metrics import ScoredMetric
from encodec_lab.evaluation.summary import ALL_DOMAINS, Condition, MetricSummary, summarise
from encodec_lab.evaluation.svg_plots import Level, Line, line_chart


def quality_html(rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric]) -> str:
    """Plots and a table for each domain, and details to unfold.

    Several systems have their lines in a plot for each domain; of a single one, the domains share a plot.
    """
    by_domain: dict[str, list[MetricSummary]] = {}
    for summary in summarise(rows, metrics):
        by_domain.setdefault(summary.domain, []).append(summary)
    several = len({row.system for row in rows}) > 1
    parts = [_lead(rows)]
    if not several:
        parts.append(_panels(by_domain, metrics))
    for domain, summaries in by_domain.items():
        num_files = len({row.file for row in rows if domain in (row.domain, ALL_DOMAINS)})
        parts.append(f'<h3 class="domain">{escape(domain)} <span>{_counted(num_files, "file")}</span></h3>')
        if several:
            parts.append(_panels(_by_system(summaries), metrics))
        parts.append(_summary_table(summaries, metrics))
    parts.append(_folded_pairs(compare_pairs(rows, metrics), metrics))
    parts.append(
        f"<details><summary>Every file through every system ({_counted(len(rows), 'row')})</summary>"
        f"{_row_table(rows, metrics)}</details>"
    )
    return "".join(parts)


def _lead(rows: Sequence[EvaluationRow]) -> str:
    text = (
        "Means over files, with 95 % bootstrap intervals. The rate is that of the compressed files, headers and all. "
        "A broken line is an anchor, which has no rate."
    )
    rates_hz = {row.system: row.sample_rate_hz for row in rows}
    if len(set(rates_hz.values())) > 1:
        named = ", ".join(f"{system} at {rate_hz / 1000:g} kHz" for system, rate_hz in rates_hz.items())
        text += f" Each is compared with the original at its own sample rate: {named}."
    return f'<p class="lead">{escape(text)}</p>'


def _by_system(summaries: Sequence[MetricSummary]) -> dict[str, list[MetricSummary]]:
    by_system: dict[str, list[MetricSummary]] = {}
    for summary in summaries:
        by_system.setdefault(summary.system, []).append(summary)
    return by_system


def _panels(curves: Mapping[str, Sequence[MetricSummary]], metrics: Sequence[ScoredMetric]) -> str:
    return f'<div class="panels">{"".join(_rate_plot(metric, curves) for metric in metrics)}</div>'


def _rate_plot(metric: ScoredMetric, curves: Mapping[str, Sequence[MetricSummary]]) -> str:
    """Of each curve, by its label, the points of this metric; an anchor is a level."""
    lines, levels = [], []
    for label, summaries in curves.items():
        xs: list[float] = []
        ys: list[float] = []
        intervals: list[tuple[float, float]] = []
        for one in sorted(summaries, key=lambda one: one.true_kbps or 0.0):
            if one.metric != metric.name or one.mean is None or not math.isfinite(one.mean):
                continue
            interval = (
                one.mean if one.low is None else one.low,
                one.mean if one.high is None else one.high,
            )
            if one.true_kbps is None:
                levels.append(Level(label, one.mean, interval))
            else:
                xs.append(one.true_kbps)
                ys.append(one.mean)
                intervals.append(interval)
        if any(one.true_kbps is not None for one in summaries):
            lines.append(Line(label, xs, ys, intervals, markers=True))
    better = "higher is better" if metric.higher_is_better else "lower is better"
    chart = line_chart(lines, "true bitrate, kbps", metric.heading, log_x=True, levels=levels)
    return f'<div class="panel"><h3>{escape(metric.label)} <em>{better}</em></h3>{chart}</div>'


def _summary_table(summaries: Sequence[MetricSummary], metrics: Sequence[ScoredMetric]) -> str:
    """A line for each system and bandwidth of one domain."""
    groups: dict[Condition, dict[str, MetricSummary]] = {}
    for summary in summaries:
        groups.setdefault((summary.system, summary.bandwidth_kbps), {})[summary.metric] = summary
    body, last_system = [], None
    for (system, bandwidth_kbps), by_metric in groups.items():
        true_kbps = next(iter(by_metric.values())).true_kbps
        cells = f"<td>{escape(system)}</td><td>{_kbps(bandwidth_kbps)}</td><td>{_kbps(true_kbps, '.2f')}</td>"
        cells += "".join(_summary_cell(by_metric[metric.name], metric.num_decimals) for metric in metrics)
        body.append(f'<tr class="{"first" if system != last_system else ""}">{cells}</tr>')
        last_system = system
    return table_html(["system", "kbps", "true kbps", *(metric.heading for metric in metrics)], body)


def _summary_cell(summary: MetricSummary, num_decimals: int) -> str:
    if summary.mean is None:
        return '<td class="none">not scored</td>'
    notes = _interval_notes(summary.low, summary.high, num_decimals)
    if summary.num_not_scored:
        notes.append(f"{summary.num_not_scored} not scored")
    return f"<td>{decimal(summary.mean, num_decimals)}{_small(notes)}</td>"


def _folded_pairs(comparisons: Sequence[PairwiseComparison], metrics: Sequence[ScoredMetric]) -> str:
    """Differences of systems on the same files, to unfold; empty if there are not two systems with a rate."""
    groups: dict[tuple[str, str, float, str, float], dict[str, PairwiseComparison]] = {}
    for one in comparisons:
        key = (one.domain, one.system, one.bandwidth_kbps, one.other_system, one.other_bandwidth_kbps)
        groups.setdefault(key, {})[one.metric] = one
    if not groups:
        return ""
    body = []
    for (domain, system, kbps, other, other_kbps), by_metric in groups.items():
        some = next(iter(by_metric.values()))
        cells = f"<td>{escape(domain)}</td>"
        for name, asked_kbps, true_kbps in (
            (system, kbps, some.true_kbps),
            (other, other_kbps, some.other_true_kbps),
        ):
            cells += f"<td>{escape(name)} {asked_kbps:g}{_small([f'{true_kbps:.2f} true'])}</td>"
        cells += "".join(_pair_cell(by_metric.get(metric.name), metric.num_decimals) for metric in metrics)
        body.append(f"<tr>{cells}</tr>")
    headings = ["domain", "kbps of", "less kbps of", *(metric.heading for metric in metrics)]
    return (
        f"<details><summary>Systems in pairs, file by file ({_counted(len(body), 'pair')})</summary>"
        '<p class="lead">The mean difference of the first from the second at the nearest true rate, with its 95 % '
        "bootstrap interval over files, and the share of files on which the first is better.</p>"
        f"{table_html(headings, body)}</details>"
    )


def _pair_cell(comparison: PairwiseComparison | None, num_decimals: int) -> str:
    if comparison is None:
        return '<td class="none">not scored</td>'
    notes = _interval_notes(comparison.low, comparison.high, num_decimals)
    notes.append(f"better on {100 * comparison.win_rate:.0f} %")
    return f"<td>{decimal(comparison.mean_difference, num_decimals)}{_small(notes)}</td>"


def _row_table(rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric]) -> str:
    body = []
    for row in rows:
        name = escape(row.file.replace("\\", "/").rsplit("/", 1)[-1])
        cells = f"<td>{name}</td><td>{escape(row.domain)}</td><td>{row.duration_s:.1f}</td>"
        cells += f"<td>{escape(row.system)}</td><td>{_kbps(row.bandwidth_kbps)}</td>"
        cells += f"<td>{_kbps(row.true_kbps, '.2f')}</td>"
        for metric in metrics:
            if metric.name in row.scores:
                cells += f"<td>{decimal(row.scores[metric.name], metric.num_decimals)}</td>"
            else:
                reason = escape(row.not_scored.get(metric.name, ""))
                cells += f'<td class="none" title="{reason}">not scored</td>'
        body.append(f"<tr>{cells}</tr>")
    headings = ["file", "domain", "s", "system", "kbps", "true kbps", *(metric.heading for metric in metrics)]
    return table_html(headings, body)


def _interval_notes(low: float | None, high: float | None, num_decimals: int) -> list[str]:
    if low is None or high is None:
        return []
    return [f"[{decimal(low, num_decimals)}, {decimal(high, num_decimals)}]"]


def _small(notes: Sequence[str]) -> str:
    return "".join(f"<small>{note}</small>" for note in notes)


def _kbps(value: float | None, form: str = "g") -> str:
    return "" if value is None else format(value, form)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
