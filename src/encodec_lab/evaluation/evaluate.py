"""Files through a codec's real bitstream at each bandwidth, scored against the originals."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.domain import domain_of
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric
from encodec_lab.evaluation.transmission import transmit
from encodec_lab.metrics import NotScored
from encodec_lab.models.encodec import EncodecModel


def evaluate_codec(
    model: EncodecModel,
    paths: Sequence[str | Path],
    bandwidths: Sequence[float] | None = None,
    metrics: Sequence[ScoredMetric] = METRICS,
    on_row: Callable[[EvaluationRow], None] | None = None,
) -> list[EvaluationRow]:
    """Compress, decompress and score every file at every bandwidth.

    Files are resampled and mixed to the model's rate and channels first, and scored at that rate.

    Args:
        model: in evaluation mode; its bandwidth is as before afterwards.
        paths: audio files.
        bandwidths: in kbps, all that the model supports by default.
        metrics: what to score.
        on_row: called with each row as it is ready, say to show progress.

    Raises:
        ValueError: no files, a file that is not audio, or a bandwidth that the model does not support.
    """
    if not paths:
        raise ValueError("there is no file to evaluate")
    chosen = list(model.target_bandwidths if bandwidths is None else bandwidths)
    for bandwidth_kbps in chosen:
        model.num_codebooks_for(bandwidth_kbps)
    rows = []
    for path in paths:
        reference = read_converted(path, model.sample_rate, model.channels)
        for bandwidth_kbps in chosen:
            rows.append(_evaluate_once(model, path, reference, bandwidth_kbps, metrics))
            if on_row is not None:
                on_row(rows[-1])
    return rows


def _evaluate_once(
    model: EncodecModel,
    path: str | Path,
    reference: Tensor,
    bandwidth_kbps: float,
    metrics: Sequence[ScoredMetric],
) -> EvaluationRow:
    transmitted = transmit(model, reference, bandwidth_kbps)
    scores, not_scored = {}, {}
    for metric in metrics:
        try:
            scores[metric.name] = metric.function(reference, transmitted.wav, model.sample_rate)
        except NotScored as reason:
            not_scored[metric.name] = str(reason)
    return EvaluationRow(
        file=str(path),
        domain=domain_of(path),
        bandwidth_kbps=transmitted.bandwidth_kbps,
        true_kbps=transmitted.true_kbps,
        duration_s=reference.shape[-1] / model.sample_rate,
        scores=scores,
        not_scored=not_scored,
    )
