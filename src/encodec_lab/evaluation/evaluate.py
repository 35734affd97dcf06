"""Files through a codec's real bitstream at each bandwidth, scored against the originals."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.data.audio_file import read_whole
from encodec_lab.data.convert import convert_audio
from encodec_lab.data.whole_file import whole_file
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric
from encodec_lab.metrics import NotScored
from encodec_lab.models.encodec import EncodecModel

_SPLIT_NAMES = ("train", "valid", "test")


@dataclass(frozen=True)
class EvaluationRow:
    """One file at one bandwidth.

    Attributes:
        file: the path as it was given.
        domain: "speech", "music": see `domain_of`.
        bandwidth_kbps: the bandwidth that the codec was set to.
        true_kbps: from the size of the compressed stream, headers and all, and the duration.
        duration_s: of the audio.
        scores: by the metric's name; a metric that could not score is absent.
        not_scored: the reason, by the metric's name.
    """

    file: str
    domain: str
    bandwidth_kbps: float
    true_kbps: float
    duration_s: float
    scores: Mapping[str, float]
    not_scored: Mapping[str, str]


@dataclass(frozen=True)
class Transmitted:
    """What came out of compressing and decompressing.

    Attributes:
        wav: [C, T] float32 on the CPU, as long as what went in.
        num_bytes: size of the compressed stream.
    """

    wav: Tensor
    num_bytes: int


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
        reference = read_for(model, path)
        for bandwidth_kbps in chosen:
            rows.append(_evaluate_once(model, path, reference, bandwidth_kbps, metrics))
            if on_row is not None:
                on_row(rows[-1])
    return rows


def read_for(model: EncodecModel, path: str | Path) -> Tensor:
    """A file as [C, T] at the model's sample rate and with its channels."""
    wav, sample_rate_hz = read_whole(path)
    return convert_audio(wav, sample_rate_hz, model.sample_rate, model.channels)


def transmit(model: EncodecModel, wav: Tensor, bandwidth_kbps: float) -> Transmitted:
    """Compress [C, T] at a bandwidth and decompress it again."""
    with _bandwidth(model, bandwidth_kbps):
        data = compress(model, wav)
    decoded, sample_rate_hz = decompress(data, model=model)
    assert sample_rate_hz == model.sample_rate and decoded.shape == wav.shape
    return Transmitted(decoded.to("cpu", torch.float32), len(data))


def domain_of(path: str | Path) -> str:
    """The name of the nearest folder above that is not the name of a split, such as "speech" of `speech/test/a.wav`."""
    for folder in Path(path).absolute().parents:
        if folder.name not in _SPLIT_NAMES:
            return folder.name or "all"
    return "all"


def write_csv(
    path: str | Path, rows: Sequence[EvaluationRow], metrics: Sequence[ScoredMetric] = METRICS
) -> None:
    """Write the rows as CSV, whole or not at all; a metric that could not score has an empty cell and a reason."""
    path = Path(path)
    names = [metric.name for metric in metrics]
    with whole_file(path) as staged, open(staged, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "domain", "bandwidth_kbps", "true_kbps", "duration_s", *names, "not_scored"])
        for row in rows:
            scores = [row.scores.get(name, "") for name in names]
            reasons = "; ".join(f"{name}: {reason}" for name, reason in row.not_scored.items())
            writer.writerow(
                [
                    row.file,
                    row.domain,
                    row.bandwidth_kbps,
                    row.true_kbps,
                    row.duration_s,
                    *scores,
                    reasons,
                ]
            )


def _evaluate_once(
    model: EncodecModel,
    path: str | Path,
    reference: Tensor,
    bandwidth_kbps: float,
    metrics: Sequence[ScoredMetric],
) -> EvaluationRow:
    transmitted = transmit(model, reference, bandwidth_kbps)
    duration_s = reference.shape[-1] / model.sample_rate
    scores, not_scored = {}, {}
    for metric in metrics:
        try:
            scores[metric.name] = metric.function(reference, transmitted.wav, model.sample_rate)
        except NotScored as reason:
            not_scored[metric.name] = str(reason)
    true_kbps = transmitted.num_bytes * 8 / duration_s / 1000
    return EvaluationRow(
        str(path), domain_of(path), float(bandwidth_kbps), true_kbps, duration_s, scores, not_scored
    )


@contextmanager
def _bandwidth(model: EncodecModel, bandwidth_kbps: float) -> Iterator[None]:
    before = model.bandwidth
    model.set_target_bandwidth(bandwidth_kbps)
    try:
        yield
    finally:
        model.set_target_bandwidth(before)
