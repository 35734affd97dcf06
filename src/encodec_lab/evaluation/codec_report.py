"""One codec evaluated on a set of files: the rows as CSV, and the page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from encodec_lab.evaluation.codebook_usage import measure_codebook_usage
from encodec_lab.evaluation.domain import domain_of
from encodec_lab.evaluation.evaluate import evaluate_codec
from encodec_lab.evaluation.evaluation_rows import EvaluationRow, write_csv
from encodec_lab.evaluation.listening import make_listening_examples
from encodec_lab.evaluation.report import ReportContent, write_report
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric
from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.models.encodec import EncodecModel

ROWS_FILE = "evaluation.csv"
PAGE_FILE = "report.html"


def report_on_codec(
    model: EncodecModel,
    test_files: Sequence[Path],
    folder: str | Path,
    title: str,
    facts: Mapping[str, str],
    metrics_csv: Path | None = None,
    usage_files: Sequence[Path] = (),
    metrics: Sequence[ScoredMetric] = METRICS,
    on_row: Callable[[EvaluationRow], None] | None = None,
) -> list[EvaluationRow]:
    """Evaluate and write `evaluation.csv` and `report.html` into a folder, which is made if missing.

    Args:
        model: in evaluation mode.
        test_files: to score; the first of each domain is also there to listen to.
        folder: for the results.
        title: of the page.
        facts: shown below what can be told from the model.
        metrics_csv: what the training run logged, if known.
        usage_files: to count codes on, better the training clips since it takes many; the test files by default.
        metrics: what to score.
        on_row: called with each row as it is ready.

    Raises:
        ValueError: as `evaluate_codec`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = evaluate_codec(model, test_files, metrics=metrics, on_row=on_row)
    write_csv(folder / ROWS_FILE, rows, metrics)
    first_by_domain: dict[str, Path] = {}
    for path in test_files:
        first_by_domain.setdefault(domain_of(path), path)
    training = read_training_records(metrics_csv) if metrics_csv is not None else []
    steps = {"training steps": f"{max(step for step, _ in training) + 1:,}"} if training else {}
    content = ReportContent(
        title=title,
        facts={**model_facts(model), "evaluated on": _audio_fact(rows), **steps, **facts},
        rows=rows,
        examples=make_listening_examples(model, list(first_by_domain.values())),
        training=training,
        codebooks=measure_codebook_usage(model, usage_files or test_files),
        metrics=metrics,
    )
    write_report(folder / PAGE_FILE, content)
    return rows


def model_facts(model: EncodecModel) -> dict[str, str]:
    """What a reader wants to know of a codec, by name."""
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    channels = "mono" if model.channels == 1 else "stereo"
    causality = "causal" if model.config.causal else "not causal"
    bandwidths = ", ".join(f"{kbps:g}" for kbps in model.target_bandwidths)
    return {
        "model": f"{model.name}, {num_parameters / 1e6:.2f} M parameters",
        "audio": f"{model.sample_rate / 1000:g} kHz {channels}, {causality}",
        "bandwidths": f"{bandwidths} kbps",
        "codebooks": f"{model.config.num_codebooks} of {model.config.codebook_size:,} codes, {model.frame_rate} Hz",
    }


def _audio_fact(rows: Sequence[EvaluationRow]) -> str:
    durations = {row.file: row.duration_s for row in rows}
    return f"{len(durations)} files, {sum(durations.values()):.0f} s"
