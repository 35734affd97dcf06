"""The evaluation that `recipes/evaluate.py` runs: models by name on audio by path, into a folder to resume in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from encodec_lab.data.manifest import list_audio
from encodec_lab.evaluation.contenders import gather_contenders, load_codecs
from encodec_lab.evaluation.evaluate import Evaluation, evaluate
from encodec_lab.evaluation.evaluation_page import describe_failures, write_page
from encodec_lab.evaluation.progress import OnProgress
from encodec_lab.evaluation.results_folder import FAILURES_FILE, JSON_ROWS_FILE, PAGE_FILE, write_tables
from encodec_lab.evaluation.row_store import RowStore, read_jsonl
from encodec_lab.evaluation.scored_metrics import METRICS, METRICS_WITH_VISQOL
from encodec_lab.evaluation.summary import format_summaries, summarise


@dataclass(frozen=True)
class EvaluationSettings:
    """What to evaluate, and how.

    Attributes:
        model: names or paths, as `load_model` takes them; or one.
        data: folders, manifests or files, as `list_audio` takes them; or one.
        bandwidths: in kbps; None for all that each model supports.
        lm: entropy code with the models' language models.
        baselines: their bandwidths in kbps, by name.
        anchors: whether low-pass anchors take part.
        visqol: whether ViSQOL is among the metrics.
        workers: processes; 0 does all in this one.
    """

    model: str | Sequence[str]
    data: str | Sequence[str]
    bandwidths: Sequence[float] | None
    lm: bool
    baselines: Mapping[str, Sequence[float]]
    anchors: bool
    visqol: bool
    workers: int

    def __post_init__(self) -> None:
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 0:
            raise ValueError(f"workers must be a whole number, 0 or more, got {self.workers!r}")


def evaluate_models(
    settings: EvaluationSettings, folder: Path, store: Path, on_progress: OnProgress | None = None
) -> str:
    """Evaluate, and write the tables and the page into a folder.

    Args:
        settings: what to do.
        folder: for the results; made if missing.
        store: file of the rows that are known, and that new ones are added to.
        on_progress: see `evaluate`.

    Returns:
        What came of it, in lines for a terminal.

    Raises:
        ValueError: no such model or data, an impossible setting, or no file that could be evaluated.
    """
    paths = [path for one in _listed(settings.data) for path in list_audio(one)]
    codecs = load_codecs(_listed(settings.model), settings.bandwidths, settings.lm)
    contenders, missing = gather_contenders(codecs, settings.baselines, settings.anchors)
    metrics = METRICS_WITH_VISQOL if settings.visqol else METRICS
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(paths))
    evaluation = evaluate(contenders, paths, metrics, RowStore(store), settings.workers, on_progress)
    if not _is_current(folder, evaluation):
        write_tables(folder, evaluation.rows, metrics, evaluation.failures)
        title = f"{', '.join(codec.name for codec in codecs)}: evaluation"
        write_page(folder / PAGE_FILE, title, {}, evaluation, contenders, missing, metrics)
    lines = [format_summaries(summarise(evaluation.rows, metrics), metrics), ""]
    lines += [f"{one.name} is missing: {one.reason}" for one in missing]
    if failures := describe_failures(evaluation):
        lines.append(f"not evaluated: {failures}; see {folder / FAILURES_FILE}")
    num_rows, num_files = len(evaluation.rows), len({row.file for row in evaluation.rows})
    known = num_rows - evaluation.num_new
    lines.append(
        f"{num_rows:,} rows of {num_files:,} files, {max(0, known):,} of them known from before; "
        f"the page: {folder / PAGE_FILE}"
    )
    return "\n".join(lines)


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _is_current(folder: Path, evaluation: Evaluation) -> bool:
    """Whether the page is of these very rows, and as young as the code that would write it."""
    page, rows = folder / PAGE_FILE, folder / JSON_ROWS_FILE
    if not page.is_file() or not rows.is_file():
        return False
    package = Path(__file__).parents[1]
    sources = [*package.glob("evaluation/*.py"), *package.glob("assets/report/**/*"), rows]
    return (
        max(source.stat().st_mtime for source in sources) <= page.stat().st_mtime
        and read_jsonl(rows) == evaluation.rows
    )
