"""The smaller sections of the evaluation page, each a piece of HTML made from measured values."""

from collections.abc import Mapping, Sequence
from html import escape

from encodec_lab.evaluation.codebook_usage import CodebookUsage
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.scored_metrics import ScoredMetric
from encodec_lab.evaluation.svg_plots import Line, bar_chart, line_chart
from encodec_lab.evaluation.training_log import ChartPlan, Curve, TrainingRecord, curves_of


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


def _curve_panel(plan: ChartPlan, curves: Sequence[Curve]) -> str:
    lines = [Line(curve.label, curve.steps, curve.values) for curve in curves]
    chart = line_chart(lines, "generator step", plan.y_label, log_y=plan.logarithmic)
    return f'<div class="panel"><h3>{escape(plan.title)}</h3>{chart}</div>'
