"""The sections of the evaluation page, each a piece of HTML made from measured values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from encodec_lab.evaluation.codebook_usage import CodebookUsage
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.scored_metrics import ScoredMetric
from encodec_lab.evaluation.summary import ALL_DOMAINS, MetricSummary
from encodec_lab.evaluation.svg_plots import Line, bar_chart, line_chart
from encodec_lab.evaluation.training_log import ChartPlan, Curve, TrainingRecord, curves_of

MINUS = "\N{MINUS SIGN}"


def quality_html(
    summaries: Sequence[MetricSummary], metrics: Sequence[ScoredMetric], rows: Sequence[EvaluationRow]
) -> str:
    """Plots and a table of each metric by bandwidth, and every single row to unfold."""
    domains = list(dict.fromkeys(summary.domain for summary in summaries))
    plots = [
        _rate_plot(metric, [domain for domain in domains if domain != ALL_DOMAINS], summaries)
        for metric in metrics
    ]
    return (
        '<p class="lead">Means over files, with 95 % bootstrap intervals. The rate is the size of the compressed file, '
        "headers and all, over its duration.</p>"
        f'<div class="panels">{"".join(plots)}</div>{_summary_table(summaries, metrics)}'
        f"<details><summary>Every file at every bandwidth ({len(rows)} rows)</summary>"
        f"{_row_table(rows, metrics)}</details>"
    )


def training_html(records: Sequence[TrainingRecord], plans: Sequence[ChartPlan]) -> str:
    """A panel for each chart that has curves, the folded ones to unfold; empty if there are none."""
    shown: list[str] = []
    folded: list[str] = []
    for plan in plans:
        if curves := curves_of(plan, records):
            (folded if plan.folded else shown).append(_curve_panel(plan, curves))
    html = f'<div class="panels">{"".join(shown)}</div>' if shown else ""
    if folded:
        html += (
            f"<details><summary>More curves ({len(folded)})</summary>"
            f'<div class="panels">{"".join(folded)}</div></details>'
        )
    return html


def codebooks_html(usages: Sequence[CodebookUsage]) -> str:
    """Bars of the share of codes in use, and of the perplexity, for each codebook."""
    size = usages[0].codebook_size
    names = [
        f"codebook {usage.codebook}: {100 * usage.used_share:.1f} % used, perplexity {usage.perplexity:.0f}"
        for usage in usages
    ]
    used = bar_chart([100 * usage.used_share for usage in usages], "codebook", "codes used, %", 100, names)
    perplexity = bar_chart([usage.perplexity for usage in usages], "codebook", "perplexity", size, names)
    return (
        f'<p class="lead">Of the {size:,} codes of each codebook, those chosen at least once in '
        f"{usages[0].num_frames:,} frames at the highest bandwidth, and the perplexity: how many equally frequent "
        f"codes would carry as much information.</p>"
        f'<div class="panels"><div class="panel"><h3>Codes in use</h3>{used}</div>'
        f'<div class="panel"><h3>Perplexity <em>of at most {size:,}</em></h3>{perplexity}</div></div>'
    )


def method_html(metrics: Sequence[ScoredMetric], rows: Sequence[EvaluationRow]) -> str:
    """What each metric is, and how often and why it could not score."""
    entries = []
    for metric in metrics:
        reasons = [row.not_scored[metric.name] for row in rows if metric.name in row.not_scored]
        counted = "; ".join(f"{reasons.count(reason)} × {reason}" for reason in dict.fromkeys(reasons))
        told = f" Not scored: {counted}." if counted else ""
        better = "Higher is better." if metric.higher_is_better else "Lower is better."
        entries.append(
            f"<dt>{escape(metric.label)}</dt><dd>{escape(f'{metric.explanation} {better}{told}')}</dd>"
        )
    return f'<dl class="method">{"".join(entries)}</dl>'


def facts_html(facts: Mapping[str, str]) -> str:
    """Name and value pairs for a `<dl>`."""
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()
    )


def _rate_plot(metric: ScoredMetric, domains: Sequence[str], summaries: Sequence[MetricSummary]) -> str:
    lines = []
    for domain in domains:
        chosen = [
            (summary.bandwidth_kbps, summary.mean, summary.low, summary.high)
            for summary in summaries
            if summary.domain == domain and summary.metric == metric.name
        ]
        scored = [
            (rate, mean, low, high)
            for rate, mean, low, high in chosen
            if mean is not None and math.isfinite(mean)
        ]
        intervals = [
            (mean if low is None else low, mean if high is None else high) for _, mean, low, high in scored
        ]
        rates, means = [point[0] for point in scored], [point[1] for point in scored]
        lines.append(Line(domain, rates, means, intervals, markers=True))
    ticks = sorted({summary.bandwidth_kbps for summary in summaries})
    better = "higher is better" if metric.higher_is_better else "lower is better"
    chart = line_chart(lines, "bandwidth, kbps", metric.heading, x_ticks=ticks, log_x=True)
    return f'<div class="panel"><h3>{escape(metric.label)} <em>{better}</em></h3>{chart}</div>'


def _summary_table(summaries: Sequence[MetricSummary], metrics: Sequence[ScoredMetric]) -> str:
    groups: dict[tuple[str, float], dict[str, MetricSummary]] = {}
    for summary in summaries:
        groups.setdefault((summary.domain, summary.bandwidth_kbps), {})[summary.metric] = summary
    body, last_domain = [], None
    for (domain, bandwidth_kbps), by_metric in groups.items():
        some = next(iter(by_metric.values()))
        cells = [
            domain,
            f"{bandwidth_kbps:g}",
            f"{some.true_kbps:.2f}",
            str(some.num_scored + some.num_not_scored),
        ]
        cells_html = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        cells_html += "".join(
            _summary_cell(by_metric[metric.name], metric.num_decimals) for metric in metrics
        )
        body.append(f'<tr class="{"first" if domain != last_domain else ""}">{cells_html}</tr>')
        last_domain = domain
    headings = ["domain", "kbps", "true kbps", "files", *(metric.heading for metric in metrics)]
    return _table(headings, body)


def _summary_cell(summary: MetricSummary, num_decimals: int) -> str:
    if summary.mean is None:
        return '<td class="none">not scored</td>'
    notes = []
    if summary.low is not None and summary.high is not None:
        notes.append(f"[{_decimal(summary.low, num_decimals)}, {_decimal(summary.high, num_decimals)}]")
    if summary.num_not_scored:
        notes.append(f"{summary.num_not_scored} not scored")
    small = "".join(f"<small>{note}</small>" for note in notes)
    return f"<td>{_decimal(summary.mean, num_decimals)}{small}</td>"


def _row_table(rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric]) -> str:
    body = []
    for row in rows:
        name = escape(row.file.replace("\\", "/").rsplit("/", 1)[-1])
        cells = f"<td>{name}</td><td>{escape(row.domain)}</td><td>{row.duration_s:.1f}</td>"
        cells += f"<td>{row.bandwidth_kbps:g}</td><td>{row.true_kbps:.2f}</td>"
        for metric in metrics:
            if metric.name in row.scores:
                cells += f"<td>{_decimal(row.scores[metric.name], metric.num_decimals)}</td>"
            else:
                reason = escape(row.not_scored.get(metric.name, ""))
                cells += f'<td class="none" title="{reason}">not scored</td>'
        body.append(f"<tr>{cells}</tr>")
    headings = ["file", "domain", "s", "kbps", "true kbps", *(metric.heading for metric in metrics)]
    return _table(headings, body)


def _table(headings: Iterable[str], body: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _curve_panel(plan: ChartPlan, curves: Sequence[Curve]) -> str:
    lines = [Line(curve.label, curve.steps, curve.values) for curve in curves]
    chart = line_chart(lines, "generator step", plan.y_label, log_y=plan.logarithmic)
    return f'<div class="panel"><h3>{escape(plan.title)}</h3>{chart}</div>'


def _decimal(value: float, num_decimals: int) -> str:
    return f"{value:.{num_decimals}f}".replace("-", MINUS)
