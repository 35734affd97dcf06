"""What an evaluation leaves in a folder as tables: rows, summaries, pairs and failures."""

from collections.abc import Sequence
from pathlib import Path

from encodec_lab.evaluation.csv_table import read_table, write_records
from encodec_lab.evaluation.evaluate import Failure
from encodec_lab.evaluation.evaluation_rows import EvaluationRow, write_csv
from encodec_lab.evaluation.pairwise import compare_pairs, write_comparisons
from encodec_lab.evaluation.row_store import write_jsonl
from encodec_lab.evaluation.scored_metrics import ScoredMetric
from encodec_lab.evaluation.summary import summarise, write_summaries

# Every row ever made for this folder, which later runs take theirs from.
STORE_FILE = "scores.jsonl"
ROWS_FILE = "rows.csv"
JSON_ROWS_FILE = "rows.jsonl"
SUMMARY_FILE = "summary.csv"
PAIRS_FILE = "pairwise.csv"
FAILURES_FILE = "failures.csv"
PAGE_FILE = "report.html"
# A hash of what all of the above were made from; written last of all.
DIGEST_FILE = "made_from.sha256"


def write_tables(
    folder: Path,
    rows: Sequence[EvaluationRow],
    metrics: Sequence[ScoredMetric],
    failures: Sequence[Failure] = (),
) -> None:
    """Write all tables, each whole or not at all; a table of failures only if there are any."""
    write_csv(folder / ROWS_FILE, rows, metrics)
    write_summaries(folder / SUMMARY_FILE, summarise(rows, metrics))
    write_comparisons(folder / PAIRS_FILE, compare_pairs(rows, metrics))
    (folder / FAILURES_FILE).unlink(missing_ok=True)
    if failures:
        write_records(folder / FAILURES_FILE, Failure, failures)
    # The last, since the merging of a sweep looks for it.
    write_jsonl(folder / JSON_ROWS_FILE, rows)


def read_failures(folder: Path) -> list[Failure]:
    """The failures that `write_tables` wrote; none without their table."""
    path = folder / FAILURES_FILE
    return [Failure(**line) for line in read_table(path)] if path.is_file() else []
