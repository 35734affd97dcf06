"""Files through systems at each bandwidth, scored against the originals: the one path of every evaluation."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.domain import domain_of
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.progress import OnProgress
from encodec_lab.evaluation.row_keys import file_identity, row_key
from encodec_lab.evaluation.row_store import RowStore
from encodec_lab.evaluation.scored_metrics import METRICS, ScoredMetric
from encodec_lab.evaluation.transmission import CodecSystem, System
from encodec_lab.evaluation.worker_pool import LostJob, run_jobs
from encodec_lab.metrics import NotScored
from encodec_lab.models.encodec import EncodecModel


@dataclass(frozen=True)
class Contender:
    """A system, and the form of the originals that it is given and compared with."""

    system: System
    sample_rate_hz: int
    channels: int


@dataclass(frozen=True)
class Failure:
    """What could not be evaluated: a file, or if `system` is not empty, a file through that system."""

    file: str
    system: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """What came of evaluating.

    Attributes:
        rows: by file, then contender, then bandwidth.
        failures: what is not among them.
        num_new: how many of the rows had anything computed, rather than all of it taken from the store.
    """

    rows: list[EvaluationRow]
    failures: list[Failure]
    num_new: int


@dataclass(frozen=True)
class _Trial:
    """One system at one bandwidth, to be scored by these metrics."""

    contender: int
    bandwidth_kbps: float | None
    metrics: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class _FileJob:
    """One file through all that it has not been through."""

    path: Path
    trials: tuple[_Trial, ...]


# What torch's allocator for the CPU says in a RuntimeError.
_NO_MEMORY = "can't allocate memory"

_Setting = tuple[Sequence[Contender], Sequence[ScoredMetric]]


def evaluate(
    contenders: Sequence[Contender],
    paths: Sequence[str | Path],
    metrics: Sequence[ScoredMetric] = METRICS,
    store: RowStore | None = None,
    num_workers: int = 0,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Send every file through every system at each of its bandwidths, and score what comes out.

    Args:
        contenders: the systems.
        paths: audio files; each is resampled and mixed to the form that a system takes, and compared in that form.
        metrics: what to score.
        store: takes rows as they are made, and gives those that it has.
        num_workers: processes to share the files among; 0 does all here.
        on_progress: called after each condition, or all that a file has left if that fails as a whole.

    Raises:
        ValueError: no systems, no files, or none that could be evaluated.
    """
    if not contenders or not paths:
        raise ValueError(f"there is no {'file' if contenders else 'system'} to evaluate")
    store = store or RowStore(None)
    files = list(dict.fromkeys(Path(path) for path in paths))
    planned, failures = _plan(files, contenders, metrics, store)
    failed, num_new = _carry_out(planned, (contenders, metrics), store, num_workers, on_progress)
    failures += failed
    wanted = [metric.name for metric in metrics]
    rows = [
        _as_asked(store[trial.key], job.path, contenders[trial.contender], wanted)
        for job in planned
        for trial in job.trials
        if not store.missing(trial.key, wanted)
    ]
    if not rows:
        first = failures[0]
        raise ValueError(f"none of {len(files)} files could be evaluated; {first.file}: {first.reason}")
    return Evaluation(rows, failures, num_new)


def _plan(
    files: Sequence[Path], contenders: Sequence[Contender], metrics: Sequence[ScoredMetric], store: RowStore
) -> tuple[list[_FileJob], list[Failure]]:
    """All trials of each file, those that the store has left without metrics; and files that cannot be read."""
    planned, failures = [], []
    for path in files:
        try:
            planned.append(_FileJob(path, tuple(_trials(path, contenders, metrics, store))))
        except OSError as error:
            failures.append(Failure(str(path), "", f"{error.strerror or error}"))
    return planned, failures


def _carry_out(
    planned: Sequence[_FileJob],
    setting: _Setting,
    store: RowStore,
    num_workers: int,
    on_progress: OnProgress | None,
) -> tuple[list[Failure], int]:
    """Add to the store what it lacks; what failed, and how many rows have come."""
    jobs = [
        _FileJob(job.path, todo)
        for job in planned
        if (todo := tuple(one for one in job.trials if one.metrics))
    ]
    num_all = sum(len(job.trials) for job in planned)
    num_left = Counter({str(job.path): len(job.trials) for job in jobs})
    failures: list[Failure] = []
    num_new = 0
    with closing(run_jobs(_evaluate_file, setting, jobs, min(num_workers, len(jobs)))) as results:
        for result in results:
            if isinstance(result, LostJob):
                result = Failure(str(result.job.path), "", result.reason)
            if isinstance(result, Failure):
                failures.append(result)
                file = result.file
                num_left[file] -= 1 if result.system else num_left[file]
            else:
                store.add(*result)
                file = result[1].file
                num_left[file] -= 1
                num_new += 1
            if on_progress is not None:
                on_progress(num_all - num_left.total(), num_all, file)
    return failures, num_new


def evaluate_codec(
    model: EncodecModel,
    paths: Sequence[str | Path],
    bandwidths: Sequence[float] | None = None,
    metrics: Sequence[ScoredMetric] = METRICS,
) -> list[EvaluationRow]:
    """The rows of `evaluate` for one codec, in evaluation mode, at its bandwidths or some of them.

    Raises:
        ValueError: as `evaluate` and `CodecSystem`.
    """
    contender = Contender(CodecSystem(model, bandwidths), model.sample_rate, model.channels)
    return evaluate([contender], paths, metrics).rows


def _trials(
    path: Path, contenders: Sequence[Contender], metrics: Sequence[ScoredMetric], store: RowStore
) -> Iterator[_Trial]:
    file, wanted = file_identity(path), [metric.name for metric in metrics]
    for index, one in enumerate(contenders):
        for kbps in one.system.bandwidths:
            key = row_key(file, one.system.identity, kbps, one.sample_rate_hz, one.channels)
            yield _Trial(index, kbps, store.missing(key, wanted), key)


def _evaluate_file(setting: _Setting, job: _FileJob) -> Iterator[tuple[str, EvaluationRow] | Failure]:
    """The rows of one file with their keys, and what failed."""
    contenders, metrics = setting
    references: dict[tuple[int, int], Tensor] = {}
    for trial in job.trials:
        one = contenders[trial.contender]
        form = (one.sample_rate_hz, one.channels)
        try:
            if form not in references:
                references[form] = read_converted(job.path, *form)
        except Exception as error:
            yield Failure(str(job.path), "", _reason(error))
            return
        chosen = [metric for metric in metrics if metric.name in trial.metrics]
        try:
            row = _evaluate_once(one, job.path, references[form], trial.bandwidth_kbps, chosen)
        except Exception as error:
            yield Failure(str(job.path), one.system.name, _reason(error))
        else:
            yield trial.key, row


def _reason(error: Exception) -> str:
    """Why a file failed; raises what is not the file's fault, nor that of its size."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _NO_MEMORY in str(error):
        return f"not enough memory: {str(error).partition(chr(10))[0]}".removesuffix(": ")
    if isinstance(error, ValueError | OSError | soundfile.SoundFileError):
        return str(error)
    raise error


def _evaluate_once(
    contender: Contender,
    path: Path,
    reference: Tensor,
    bandwidth_kbps: float | None,
    metrics: Sequence[ScoredMetric],
) -> EvaluationRow:
    rate_hz = contender.sample_rate_hz
    transmitted = contender.system.transmit(reference, rate_hz, bandwidth_kbps)
    scores, not_scored = {}, {}
    for metric in metrics:
        try:
            scores[metric.name] = metric.function(reference, transmitted.wav, rate_hz)
        except NotScored as reason:
            not_scored[metric.name] = str(reason)
    return EvaluationRow(
        system=transmitted.system,
        file=str(path),
        domain=domain_of(path),
        bandwidth_kbps=transmitted.bandwidth_kbps,
        true_kbps=transmitted.true_kbps,
        duration_s=reference.shape[-1] / rate_hz,
        sample_rate_hz=rate_hz,
        scores=scores,
        not_scored=not_scored,
        identity=contender.system.identity,
    )


def _as_asked(row: EvaluationRow, path: Path, contender: Contender, metrics: Sequence[str]) -> EvaluationRow:
    """A row of the store, which may be of another run, with this run's names and metrics."""
    return dataclasses.replace(
        row,
        system=contender.system.name,
        file=str(path),
        domain=domain_of(path),
        scores={name: row.scores[name] for name in metrics if name in row.scores},
        not_scored={name: row.not_scored[name] for name in metrics if name in row.not_scored},
    )
