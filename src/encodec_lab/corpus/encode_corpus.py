"""Encodes a corpus: what is left of it, in tasks, by whatever runs them, until each input is stored or has failed."""

import contextlib
import io
import itertools
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from encodec_lab.bitstream.compress import compress_to_file
from encodec_lab.corpus.encode_task import (
    FORMATS,
    EncodingSettings,
    Failed,
    Outcome,
    Stopped,
    Stored,
    encode_task,
)
from encodec_lab.corpus.inputs import ArraySlot, CorpusInput, list_inputs
from encodec_lab.corpus.output_folder import OutputFolder
from encodec_lab.data.code_shards import CODES_FORMAT, FORMAT_VERSION, MAX_CODEBOOK_SIZE
from encodec_lab.evaluation.progress import OnProgress
from encodec_lab.evaluation.worker_pool import LostJob
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import module_identity
from encodec_lab.models.registry import load_model

Task = Sequence[CorpusInput]
Outcomes = Generator[Outcome | LostJob, None, None]
# Runs `work(settings, task)` for all tasks somewhere.
RunTasks = Callable[
    [Callable[[EncodingSettings, Task], Any], EncodingSettings, Sequence[Task]],
    Outcomes,
]

# Inputs whose process has died are tried once more as they were, then one by one, which tells whose fault it is.
_ATTEMPTS = 3
_MOST_NAMED = 10


@dataclass(frozen=True)
class CorpusSummary:
    """What a run has done.

    Attributes:
        num_inputs: of this job of the array.
        num_encoded: in this run.
        num_done: of `num_inputs`, in this run or before.
        audio_s: that was encoded in this run.
        wall_s: that this took, without the listing of inputs.
        failures: reasons by the inputs' names.
        failures_file: where those of this job are listed.
    """

    num_inputs: int
    num_encoded: int
    num_done: int
    audio_s: float
    wall_s: float
    failures: dict[str, str]
    failures_file: Path

    def __str__(self) -> str:
        speed = self.audio_s / max(self.wall_s, 1e-9)
        return (
            f"{self.num_done:,} of {self.num_inputs:,} recordings, {self.num_encoded:,} of them in this run: "
            f"{self.audio_s / 3600:.2f} h in {self.wall_s:,.0f} s, {speed:,.1f} s of audio per second"
        )

    def raise_for_failures(self) -> None:
        """ValueError that names inputs that failed, if there are any."""
        if not self.failures:
            return
        named = "; ".join(
            f"{name} ({reason})" for name, reason in itertools.islice(self.failures.items(), _MOST_NAMED)
        )
        rest = len(self.failures) - _MOST_NAMED
        raise ValueError(
            f"{len(self.failures):,} of {self.num_inputs:,} recordings failed: {named}"
            + (f"; and {rest:,} more" if rest > 0 else "")
            + f"; all reasons in {self.failures_file}; try again with retry_failed=true"
        )


def prepare_encoding(
    model: str, output: str | Path, format: str, bandwidth_kbps: float | None, lm: bool, device: str
) -> tuple[EncodingSettings, dict[str, Any]]:
    """The settings of the workers, tried out on a short signal, and the description for `corpus.json`.

    Args:
        model: what `load_model` takes.
        output: folder.
        format: "ecdc" or "codes".
        bandwidth_kbps: None for the model's highest.
        lm: whether to entropy code with the model's language model.
        device: cpu or cuda.

    Raises:
        ValueError: a setting is impossible, or the model cannot be had.
    """
    if format not in FORMATS:
        raise ValueError(f"format={format}: use one of {', '.join(FORMATS)}")
    if device != "cpu" and not (device == "cuda" and torch.cuda.is_available()):
        raise ValueError(f"device={device}: encoding runs on cpu, or on cuda where there is a GPU")
    codec = load_model(model)
    bandwidth_kbps = codec.target_bandwidths[-1] if bandwidth_kbps is None else float(bandwidth_kbps)
    codec.set_target_bandwidth(bandwidth_kbps)
    if format == CODES_FORMAT:
        if lm:
            raise ValueError("lm=true entropy codes streams; codes are stored as they are, so leave it out")
        if codec.config.codebook_size > MAX_CODEBOOK_SIZE:
            raise ValueError(f"{model}: codes of codebooks of {codec.config.codebook_size} take over 16 bits")
    else:
        compress_to_file(codec, torch.zeros(codec.channels, codec.hop_length), io.BytesIO(), use_lm=lm)
    where = model if not Path(model).exists() else str(Path(model).absolute())
    settings = EncodingSettings(where, Path(output).absolute(), format, bandwidth_kbps, lm, device)
    return settings, _describe(codec, settings)


def encode_corpus(
    data: str | Path,
    settings: EncodingSettings,
    description: dict[str, Any],
    slot: ArraySlot,
    run_tasks: RunTasks,
    inputs_per_task: int,
    retry_failed: bool = False,
    on_progress: OnProgress = lambda num_done, num_all, told: None,
) -> CorpusSummary:
    """Encode what the output folder lacks of this slot's share.

    Args:
        data: folder, manifest, tar or audio file.
        settings: see `prepare_encoding`, as for `description`.
        description: of the codec.
        slot: of this job among those that share the corpus.
        run_tasks: local processes or Ray.
        inputs_per_task: what a worker gets at a time; of codes, what goes into a shard.
        retry_failed: whether to try again what has failed before.
        on_progress: called with how many inputs are dealt with, of how many, and the speed.

    Raises:
        ValueError: no or impossible inputs, or a folder that is another's or in use.
        OSError: outputs cannot be written.
    """
    if inputs_per_task < 1:
        raise ValueError(f"inputs_per_task must be 1 or more, got {inputs_per_task}")
    inputs = slot.share(list_inputs(data))
    folder = OutputFolder(settings.output, slot)
    with folder.locked():
        folder.claim(description)
        names = {item.name for item in inputs}
        done = folder.done(settings.format) & names
        failures = {
            name: reason
            for name, reason in folder.failures().items()
            if name in names and name not in done and not retry_failed
        }
        folder.write_failures(failures)
        run = _Run(
            folder, len(inputs), done, failures, lambda: folder.done(settings.format) & names, on_progress
        )
        run.encode(
            [item for item in inputs if item.name not in done and item.name not in failures],
            inputs_per_task,
            lambda tasks: run_tasks(encode_task, settings, tasks),
        )
    return run.summary()


class _Run:
    """The state of one run."""

    def __init__(
        self,
        folder: OutputFolder,
        num_inputs: int,
        done: set[str],
        failures: dict[str, str],
        find_done: Callable[[], set[str]],
        on_progress: OnProgress,
    ) -> None:
        self._folder = folder
        self._num_inputs = num_inputs
        self._done = done
        self._failures = failures
        self._find_done = find_done
        self._on_progress = on_progress
        self._encoded: dict[str, float] = {}  # seconds of audio by name
        self._audio_s = 0.0
        self._num_dealt_with = len(done) + len(failures)
        self._start_s = time.monotonic()

    def encode(
        self, waiting: Sequence[CorpusInput], inputs_per_task: int, run: Callable[[Sequence[Task]], Outcomes]
    ) -> None:
        for attempt in range(_ATTEMPTS):
            if not waiting:
                return
            size = inputs_per_task if attempt < _ATTEMPTS - 1 else 1
            tasks = [waiting[start : start + size] for start in range(0, len(waiting), size)]
            lost: dict[str, str] = {}
            with contextlib.closing(run(tasks)) as outcomes:  # whatever happens here, no worker goes on
                for outcome in outcomes:
                    if isinstance(outcome, LostJob):
                        lost |= {item.name: outcome.reason for item in outcome.job}
                    else:
                        self._take(outcome)
            if lost:  # a process may have died between storing outputs and saying so
                self._done |= self._find_done()
            waiting = [
                item for item in waiting if item.name not in self._done and item.name not in self._failures
            ]
            assert all(item.name in lost for item in waiting), "a task has ended without all of its outcomes"
        for item in waiting:
            self._take(Failed(item.name, lost[item.name]))

    def summary(self) -> CorpusSummary:
        return CorpusSummary(
            self._num_inputs,
            len(self._encoded.keys() & self._done),
            len(self._done),
            self._audio_s,
            time.monotonic() - self._start_s,
            self._failures,
            self._folder.failures_file,
        )

    def _take(self, outcome: Outcome) -> None:
        if isinstance(outcome, Stopped):
            raise OSError(outcome.reason)
        if isinstance(outcome, Stored):
            self._done.update(outcome.names)
        elif isinstance(outcome, Failed):
            if outcome.name in self._failures:  # by a process that died later
                return
            self._failures[outcome.name] = outcome.reason
            self._folder.add_failure(outcome.name, outcome.reason)
            self._show(outcome.name)
        elif outcome.name not in self._encoded:
            self._encoded[outcome.name] = outcome.audio_s
            self._audio_s += outcome.audio_s
            self._show(outcome.name)

    def _show(self, name: str) -> None:
        speed = self._audio_s / max(time.monotonic() - self._start_s, 1e-9)
        self._num_dealt_with += 1
        told = f"{speed:,.0f} s of audio per second, {Path(name).name}"
        self._on_progress(self._num_dealt_with, self._num_inputs, told)


def _describe(codec: EncodecModel, settings: EncodingSettings) -> dict[str, Any]:
    return {
        "format": settings.format,
        "version": FORMAT_VERSION,
        "model": codec.name,
        "identity": module_identity(codec),
        "config": codec.config.to_dict(),
        "bandwidth_kbps": settings.bandwidth_kbps,
        "num_codebooks": codec.num_codebooks_for(settings.bandwidth_kbps),
        "codebook_size": codec.config.codebook_size,
        "frame_rate_hz": codec.frame_rate,
        "sample_rate_hz": codec.sample_rate,
        "channels": codec.channels,
        **({"lm": True} if settings.lm else {}),
    }
