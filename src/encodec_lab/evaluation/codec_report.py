"""A codec that has just been trained, evaluated: the tables and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from encodec_lab.evaluation.baselines import DEFAULT_BANDWIDTHS
from encodec_lab.evaluation.contenders import gather_contenders
from encodec_lab.evaluation.evaluate import evaluate
from encodec_lab.evaluation.evaluation_page import write_page
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.progress import OnProgress
from encodec_lab.evaluation.results_folder import PAGE_FILE, write_tables
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric
from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.evaluation.transmission import CodecSystem
from encodec_lab.models.encodec import EncodecModel


def report_on_codec(
    model: EncodecModel,
    test_files: Sequence[Path],
    folder: str | Path,
    title: str,
    facts: Mapping[str, str],
    metrics_csv: Path | None = None,
    usage_files: Sequence[Path] = (),
    metrics: Sequence[ScoredMetric] = METRICS,
    baselines: Mapping[str, Sequence[float]] = DEFAULT_BANDWIDTHS,
    num_workers: int = 0,
    on_progress: OnProgress | None = None,
) -> list[EvaluationRow]:
    """Evaluate, and write the tables and `report.html` into a folder, which is made if missing.

    Args:
        model: in evaluation mode.
        test_files: to score; the first of each domain is also there to listen to.
        folder: for the results.
        title: of the page.
        facts: shown below what can be told from the model.
        metrics_csv: what the training run logged, if known.
        usage_files: to count codes on, better the training clips since it takes many; the test files by default.
        metrics: what to score.
        baselines: see `find_baselines`.
        num_workers: see `evaluate`.
        on_progress: see `evaluate`.

    Raises:
        ValueError: as `evaluate` and `find_baselines`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contenders, missing = gather_contenders([CodecSystem(model)], baselines)
    evaluation = evaluate(contenders, test_files, metrics, num_workers=num_workers, on_progress=on_progress)
    write_tables(folder, evaluation.rows, metrics, evaluation.failures)
    training = read_training_records(metrics_csv) if metrics_csv is not None else []
    steps = {"training steps": f"{max(step for step, _ in training) + 1:,}"} if training else {}
    write_page(
        folder / PAGE_FILE,
        title,
        {**steps, **facts},
        evaluation,
        contenders,
        missing,
        metrics,
        training,
        usage_files,
    )
    return evaluation.rows
