"""The evaluation that `recipes/evaluate.py` runs: models by name on audio by path, into a folder to resume in."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from encodec_lab.data.manifest import list_audio
from encodec_lab.evaluation.baselines import MissingSystem
from encodec_lab.evaluation.contenders import gather_contenders, load_codecs
from encodec_lab.evaluation.evaluate import Evaluation, evaluate
from encodec_lab.evaluation.evaluation_page import describe_failures, write_page
from encodec_lab.evaluation.progress import OnProgress
from encodec_lab.evaluation.results_folder import (
    DIGEST_FILE,
    FAILURES_FILE,
    JSON_ROWS_FILE,
    PAGE_FILE,
    write_tables,
)
from encodec_lab.evaluation.row_store import RowStore, read_jsonl
from encodec_lab.evaluation.scored_metrics import METRICS, METRICS_WITH_VISQOL
from encodec_lab.evaluation.summary import format_summaries, summarise


@dataclass(frozen=True)
class EvaluationSettings:
    """What to evaluate, and how.

    Attributes:
        model: names or paths, as `load_model` takes them; or one.
        data: folders, manifests or files, as `list_audio` takes them; or one.
        bandwidths: in kbps, or one; None for all that each model supports.
        lm: entropy code with the models' language models.
        baselines: their bandwidths in kbps, or one, by name.
        anchors: whether low-pass anchors take part.
        visqol: whether ViSQOL is among the metrics.
        workers: processes; 0 does all in this one.
    """

    model: str | Sequence[str]
    data: str | Sequence[str]
    bandwidths: float | Sequence[float] | None
    lm: bool
    baselines: Mapping[str, float | Sequence[float]]
    anchors: bool
    visqol: bool
    workers: int

    def __post_init__(self) -> None:
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 0:
            raise ValueError(f"workers must be a whole number, 0 or more, got {self.workers!r}")
        if self.bandwidths is not None and not _rates("bandwidths", self.bandwidths):
            raise ValueError("bandwidths must be some, in kbps, or null for all; got none")
        for name, rates in self.baselines.items():
            _rates(f"bandwidths of baseline {name}", rates)


def baselines_of(
    names: str | Sequence[str] | None, bandwidths_kbps: Mapping[str, float | Sequence[float]] | None
) -> dict[str, float | Sequence[float]]:
    """Of all bandwidths by name, those of the baselines that are asked for: several, one or none."""
    known = bandwidths_kbps or {}
    return {name: known.get(name, ()) for name in _listed(names or ())}


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
    bandwidths = None if settings.bandwidths is None else _rates("bandwidths", settings.bandwidths)
    codecs = load_codecs(_listed(settings.model), bandwidths, settings.lm)
    baselines = {name: _rates(name, rates) for name, rates in settings.baselines.items()}
    contenders, missing = gather_contenders(codecs, baselines, settings.anchors)
    metrics = METRICS_WITH_VISQOL if settings.visqol else METRICS
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(paths))
    evaluation = evaluate(contenders, paths, metrics, RowStore(store), settings.workers, on_progress)
    title = f"{', '.join(codec.name for codec in codecs)}: evaluation"
    digest = _digest(title, evaluation, missing, [metric.name for metric in metrics])
    if _is_current(folder, evaluation, digest):
        # A sweep takes the rows that are younger than itself.
        os.utime(folder / JSON_ROWS_FILE)
    else:
        (folder / DIGEST_FILE).unlink(missing_ok=True)
        write_tables(folder, evaluation.rows, metrics, evaluation.failures)
        write_page(folder / PAGE_FILE, title, {}, evaluation, contenders, missing, metrics)
        (folder / DIGEST_FILE).write_text(digest, encoding="ascii")
    lines = [format_summaries(summarise(evaluation.rows, metrics), metrics), ""]
    lines += [f"{one.name} is missing: {one.reason}" for one in missing]
    if failures := describe_failures(evaluation):
        lines.append(f"not evaluated: {failures}; see {folder / FAILURES_FILE}")
    num_rows, num_files = len(evaluation.rows), len({row.file for row in evaluation.rows})
    lines.append(
        f"{num_rows:,} rows of {num_files:,} files, {num_rows - evaluation.num_new:,} of them known from before; "
        f"the page: {folder / PAGE_FILE}"
    )
    # The name of a file need not be UTF-8, what a terminal shows must be.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _rates(name: str, value: float | Sequence[float]) -> list[float]:
    """One bandwidth or several as several; ValueError if it is neither."""
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    rates = [float(one) for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(rates) < len(values):
        raise ValueError(f"{name} must be in kbps, a number or a list of them, got {value!r}")
    return rates


def _digest(
    title: str, evaluation: Evaluation, missing: Sequence[MissingSystem], metrics: Sequence[str]
) -> str:
    """A hash of all that tables and page are made from; failures come in any order where processes share the files."""
    failures = sorted(dataclasses.astuple(one) for one in evaluation.failures)
    others = [dataclasses.astuple(one) for one in missing]
    rows = [dataclasses.asdict(row) for row in evaluation.rows]
    return hashlib.sha256(json.dumps([title, failures, others, metrics, rows]).encode()).hexdigest()


def _is_current(folder: Path, evaluation: Evaluation, digest: str) -> bool:
    """Whether tables and page are of this very evaluation, and as young as the code that would write them."""
    page, rows, known = folder / PAGE_FILE, folder / JSON_ROWS_FILE, folder / DIGEST_FILE
    if not all(path.is_file() for path in (page, rows, known)):
        return False
    package = Path(__file__).parents[1]
    sources = [*package.glob("evaluation/*.py"), *package.glob("assets/report/**/*")]
    if max(source.stat().st_mtime for source in sources) > page.stat().st_mtime:
        return False
    try:
        return known.read_bytes() == digest.encode() and read_jsonl(rows) == evaluation.rows
    except ValueError:
        return False
