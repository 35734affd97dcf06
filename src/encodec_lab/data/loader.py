"""Batches of crops, with a position in the run that can be saved and taken up again."""

import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from encodec_lab.data.audio_file import AudioFileError, BadAudioWarning
from encodec_lab.data.crops import CropBatch, CropDataset
from encodec_lab.data.sampler import CounterBatchSampler
from encodec_lab.data.source_reader import ReadError


class ResumableLoader:
    """The batches [B, C, T] of one rank, from an endless stream of crops.

    An iteration gives the next `len(loader)` batches from the current position; what an abandoned iteration or its
    workers have read ahead is not counted. The state is the position alone, so a run can go on with another number of
    workers or ranks, or another batch size. Lightning saves and restores it by itself, since it finds `state_dict`.

    Files that fail while reading are named in one BadAudioWarning each; when they are more than `max_bad_share` of all
    files, AudioFileError.

    Args:
        crops: the data set.
        sampler: the share of this rank; used by this loader alone.
        num_workers: processes that read ahead; 0 reads in this one.
        max_bad_share: 0 to 1.
        pin_memory: put batches where a GPU can fetch them.
    """

    def __init__(
        self,
        crops: CropDataset,
        sampler: CounterBatchSampler,
        num_workers: int,
        max_bad_share: float,
        pin_memory: bool = False,
    ) -> None:
        if num_workers < 0:
            raise ValueError(f"num_workers must be 0 or more, got {num_workers}")
        self._sampler = sampler
        self._max_bad_share = max_bad_share
        self._bad_files: set[str] = set()
        self._num_workers = num_workers
        self._pin_memory = pin_memory
        self._crops = crops
        self._loader: DataLoader[CropBatch | AudioFileError] | None = None

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Tensor]:
        if self._loader is None:
            self._loader = self._build()
        for batch in _received(self._loader):
            if isinstance(batch, AudioFileError):
                raise batch
            self._sampler.next_index += self._sampler.global_batch_size
            self._report(batch.read_errors)
            yield batch.wav

    def state_dict(self) -> dict[str, Any]:
        """The global index of the next item: all items before it are in batches that were handed out."""
        return {"next_index": self._sampler.next_index}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there, with the next iteration."""
        self._sampler.next_index = int(state["next_index"])

    def close(self) -> None:
        """Let the workers go; a later iteration starts new ones."""
        self._loader = None

    def _build(self) -> DataLoader[CropBatch | AudioFileError]:
        # A generator of its own: a DataLoader draws a seed for its workers at each iteration, by default from the
        # global one, and so a resumed run would go on with other random numbers than one never stopped.
        return DataLoader(
            _FailuresAsValues(self._crops),
            sampler=self._sampler,
            batch_size=None,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            pin_memory=self._pin_memory,
            collate_fn=_unchanged,
            worker_init_fn=_heed_parent_alone,
            generator=torch.Generator(),
        )

    def _report(self, errors: Iterable[ReadError]) -> None:
        num_files = self._crops.num_files
        for path, message in errors:
            if path in self._bad_files:
                continue
            self._bad_files.add(path)
            if len(self._bad_files) > self._max_bad_share * num_files:
                raise AudioFileError(
                    f"{len(self._bad_files)} of {num_files} training files failed while reading, more than the share "
                    f"of {self._max_bad_share:g} that max_bad_share allows, last: {message}"
                )
            warnings.warn(
                f"other crops take the place of this file's: {message}", BadAudioWarning, stacklevel=2
            )


class _FailuresAsValues(Dataset[CropBatch | AudioFileError]):
    """Gives an AudioFileError: raised in a worker it would come out with the worker's traceback as its message."""

    def __init__(self, crops: CropDataset) -> None:
        self._crops = crops

    def __getitem__(self, indices: Sequence[int]) -> CropBatch | AudioFileError:
        try:
            return self._crops[indices]
        except AudioFileError as error:
            return error


def _received(loader: DataLoader[CropBatch | AudioFileError]) -> Iterator[CropBatch | AudioFileError]:
    """The batches; RuntimeError if a worker is gone, whatever of it is missed first."""
    try:
        yield from loader
    except (ConnectionError, EOFError) as error:  # a batch that it had announced
        raise RuntimeError("a worker of the data loader ended unexpectedly; is memory short?") from error


def _heed_parent_alone(_: int) -> None:
    """Have a worker end by SIGTERM if it is from the process that trains, and by nobody else's.

    A job that is to save and leave gets the signal in all of its processes, and still needs batches.
    """
    if not hasattr(signal, "sigwaitinfo"):  # as on macOS
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_when_told, args=(os.getppid(),), daemon=True).start()


def _end_when_told(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _unchanged(batch: Any) -> Any:
    return batch
