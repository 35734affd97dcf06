"""One table and one page of all jobs of a sweep, made anew at the end of each job from what is there."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from encodec_lab.evaluation.evaluate import Evaluation
from encodec_lab.evaluation.evaluation_page import describe_failures
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.report import ReportContent, write_report
from encodec_lab.evaluation.results_folder import JSON_ROWS_FILE, PAGE_FILE, read_failures, write_tables
from encodec_lab.evaluation.row_keys import identity_tag
from encodec_lab.evaluation.row_store import read_jsonl
from encodec_lab.evaluation.scored_metrics import METRICS_WITH_VISQOL

# Hydra writes it when a sweep begins.
_SWEEP_FILE = "multirun.yaml"


def merge_sweep(folder: Path) -> list[EvaluationRow]:
    """Write tables and a page of the rows in the folders of all jobs, those of earlier sweeps in this folder left out.

    With no rows at all nothing is written, so that what an earlier sweep left stays.

    Returns:
        All rows, each once.
    """
    started = folder / _SWEEP_FILE
    since = started.stat().st_mtime if started.is_file() else 0.0
    jobs = [path.parent for path in folder.glob(f"*/{JSON_ROWS_FILE}") if path.stat().st_mtime >= since]
    jobs.sort(key=lambda job: (len(job.name), job.name))  # 10 after 9
    rows = with_distinct_names([row for job in jobs for row in read_jsonl(job / JSON_ROWS_FILE)])
    if not rows:
        return []
    failures = list(dict.fromkeys(failure for job in jobs for failure in read_failures(job)))
    names = {name for row in rows for name in (*row.scores, *row.not_scored)}
    metrics = [metric for metric in METRICS_WITH_VISQOL if metric.name in names]
    write_tables(folder, rows, metrics, failures)
    facts = {
        "jobs": ", ".join(job.name for job in jobs),
        "systems": ", ".join(dict.fromkeys(row.system for row in rows)),
    }
    if told := describe_failures(Evaluation(rows, failures, 0)):
        facts["not evaluated"] = told
    write_report(folder / PAGE_FILE, ReportContent(title="Sweep", facts=facts, rows=rows, metrics=metrics))
    return rows


def with_distinct_names(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Each row once, and systems of one name told apart by their identity, or the rate at which they were compared."""
    identities: dict[str, set[str]] = {}
    rates_hz: dict[str, set[int]] = {}
    for row in rows:
        identities.setdefault(row.system, set()).add(row.identity)
        rates_hz.setdefault(row.system, set()).add(row.sample_rate_hz)
    distinct: dict[tuple[str, str, float | None, str], EvaluationRow] = {}
    for row in rows:
        name = row.system
        if len(identities[row.system]) > 1:
            name += f" {identity_tag(row.identity)}"
        if len(rates_hz[row.system]) > 1:
            name += f" at {row.sample_rate_hz / 1000:g} kHz"
        distinct[name, row.identity, row.bandwidth_kbps, row.file] = dataclasses.replace(row, system=name)
    return list(distinct.values())
