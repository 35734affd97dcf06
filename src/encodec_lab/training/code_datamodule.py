"""The codes of a language model's training run: extracted once, and which of them this rank gets."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray

from encodec_lab.data.code_crops import CodeCrops, CodeLoader, RecordLoader, cut_records
from encodec_lab.data.code_shards import holds_codes
from encodec_lab.data.file_part import is_url
from encodec_lab.data.manifest import Source, load_entries, parse_spec, report_bad_files
from encodec_lab.data.sampler import CounterBatchSampler
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.training.code_cache import codes_folder, extract_missing, read_codes
from encodec_lab.training.code_corpus import read_code_corpus

_log = logging.getLogger(__name__)


class CodeDataModule(lightning.LightningDataModule):
    """Random sequences of codes [B, K, S] to train on, records [B, K, S] of whole recordings to validate on.

    Args:
        codec: frozen.
        codec_source: what `load_model` made it from.
        train: see `AudioDataModule`, as for `valid`, `batch_size`, `batches_per_epoch`, `seed` and `max_bad_share`. A
            folder of shards of codes, see `code_shards.py`, may stand for audio.
        valid: recordings are cut into records; None trains without validation.
        cache: folder that keeps the codes, see `code_cache.py`.
        device: that encodes.
        sequence_s: length of a training sequence.
        record_s: length of a validation record; each starts from nothing, as those of a stream do.
        num_workers: processes that extract codes; 0 or 1 for none but this one.
    """

    def __init__(
        self,
        codec: EncodecModel,
        codec_source: str,
        train: Any,
        valid: Any,
        cache: str,
        device: str,
        sequence_s: float,
        record_s: float,
        batch_size: int,
        batches_per_epoch: int,
        num_workers: int,
        seed: int,
        max_bad_share: float,
    ) -> None:
        super().__init__()
        if device != "cpu" and not (device == "cuda" and torch.cuda.is_available()):
            raise ValueError(
                f"data.device={device}: codes can be extracted on cpu, or on cuda where there is a GPU"
            )
        self._codec = codec
        self._codec_source = codec_source
        self._train = train
        self._valid = valid
        self._cache = Path(cache).expanduser()
        self._device = device
        self.sequence_frames = round(sequence_s * codec.frame_rate)
        self._record_frames = round(record_s * codec.frame_rate)
        for name, frames in (("sequence_s", self.sequence_frames), ("record_s", self._record_frames)):
            if frames < 2:
                raise ValueError(f"data.{name} must be two frames or more, {2 / codec.frame_rate:.3g} s")
        self._batch_size = batch_size
        self._batches_per_epoch = batches_per_epoch
        self._num_workers = num_workers
        self._seed = seed
        self._max_bad_share = max_bad_share
        self._crops: CodeCrops | None = None
        self._records: list[NDArray[np.int16]] | None = None
        self._counts: torch.Tensor | None = None

    @property
    def train_counts(self) -> torch.Tensor:
        """How often each code occurs in all training recordings: [K, V] int64."""
        assert self._counts is not None, "setup('fit') comes first"
        return self._counts

    def setup(self, stage: str) -> None:
        """Find the recordings, extract and load their codes, once; call it by hand to do so before anything else.

        Raises:
            ValueError: missing path, no usable audio, too many bad files, arguments out of range.
        """
        if stage == "fit" and self._crops is None:
            self._build_sampler()  # a batch that the ranks cannot share is found before hours of extraction
            recordings, weights = [], []
            for weight, codes in self._load(self._train):
                num_frames = sum(item.shape[1] for item in codes)
                recordings += codes
                weights += [weight * item.shape[1] / num_frames for item in codes]
            self._crops = CodeCrops(recordings, weights, self.sequence_frames, self._seed)
            self._counts = _count(recordings, self._codec.config.codebook_size)
        if stage in ("fit", "validate") and self._records is None and self._valid is not None:
            recordings = [item for _, codes in self._load(self._valid) for item in codes]
            self._records = cut_records(recordings, self._record_frames)
            self.val_dataloader()  # likewise fewer records than ranks

    def train_dataloader(self) -> CodeLoader:
        assert self._crops is not None, "setup('fit') comes first"
        return CodeLoader(self._crops, self._build_sampler())

    def val_dataloader(self) -> RecordLoader | list[Any]:
        if self._records is None:
            return []
        return RecordLoader(self._records, *self._rank_and_world_size())

    def _load(self, spec: Any) -> list[tuple[float, list[NDArray[np.int16]]]]:
        """The weight and the codes of each source; recordings that turn out bad are left out with a BadAudioWarning."""
        entries = parse_spec(spec)
        coded = [not is_url(entry.path) and holds_codes(entry.path) for entry in entries]
        audio = [entry for entry, is_coded in zip(entries, coded, strict=True) if not is_coded]
        sources = iter(load_entries(audio, self._max_bad_share))
        return [
            read_code_corpus(entry, self._codec) if is_coded else self._extract(next(sources))
            for entry, is_coded in zip(entries, coded, strict=True)
        ]

    def _extract(self, source: Source) -> tuple[float, list[NDArray[np.int16]]]:
        folder = codes_folder(self._cache, self._codec)
        paths = [info.source for info in source.files]
        _log.info("codes of %d recordings, %.0f s, in %s", len(paths), source.duration_s, folder)
        codec = self._codec.to(self._device)
        results = extract_missing(paths, codec, self._codec_source, folder, self._num_workers)
        errors = {path: str(error) for path, error in results if error is not None}
        report_bad_files(list(errors.values()), len(paths), self._max_bad_share, source.name)
        return source.weight, [read_codes(folder, path) for path in paths if path not in errors]

    def _build_sampler(self) -> CounterBatchSampler:
        return CounterBatchSampler(self._batch_size, self._batches_per_epoch, *self._rank_and_world_size())

    def _rank_and_world_size(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def _count(recordings: Iterable[NDArray[np.int16]], codebook_size: int) -> torch.Tensor:
    counted = [np.stack([np.bincount(row, minlength=codebook_size) for row in codes]) for codes in recordings]
    return torch.from_numpy(np.sum(counted, axis=0, dtype=np.int64))
