"""The audio of a training run: what is drawn from which files, and which part of it this rank gets."""

from collections.abc import Sequence
from typing import Any

import lightning
import torch

from encodec_lab.data.augmentation import Augmentation, Chain
from encodec_lab.data.clips import ClipDataset, ClipLoader
from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.equalizer import RandomEqualizer
from encodec_lab.data.gain import RandomGain
from encodec_lab.data.loader import ResumableLoader
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.mixing import Mixing
from encodec_lab.data.reverb import RandomReverb
from encodec_lab.data.sampler import CounterBatchSampler
from encodec_lab.data.speed import RandomSpeed


class AudioDataModule(lightning.LightningDataModule):
    """Random crops [B, C, T] to train on, whole clips ([1, C, T], [name]) to validate on.

    The position in the run is saved in the checkpoint by Lightning, through the `state_dict` of the training loader. It
    needs `Trainer(use_distributed_sampler=False)`, since the sampler here knows about ranks.

    Args:
        train: a path, a list of paths, or a list of {path, weight, kind}; see `load_sources`.
        valid: the same; weights play no part. None trains without validation.
        sample_rate_hz: of the model.
        channels: of the model.
        crop_s: length of a training crop, in seconds.
        batch_size: over all ranks; their number must divide it.
        batches_per_epoch: there is no other meaning to an epoch, since crops never run out.
        valid_max_s: validation clips are cut to this length.
        num_workers: processes that read ahead, per rank.
        speed: pitch and tempo are changed together; None leaves them alone.
        equalizer: levels of bands are changed; None leaves them alone.
        seed: with the index of a crop, decides everything that is drawn.
        gain_db: (low, high) of a random gain in decibels, lowered where it would clip; None leaves the level alone.
        mixing: several recordings are added up, with gains of its own instead of `gain_db`; None makes every crop of
            one recording.
        reverb: a room is added; None adds none.
        silence_db: training crops whose RMS is below this many dBFS are drawn again; None accepts silence.
        max_redraws: how often at most; then the loudest is taken.
        max_bad_share: the share of files, 0 to 1, that may be unusable; they are left out with a warning.
    """

    def __init__(
        self,
        train: Any,
        valid: Any,
        sample_rate_hz: int,
        channels: int,
        crop_s: float,
        batch_size: int,
        batches_per_epoch: int,
        valid_max_s: float,
        num_workers: int,
        seed: int,
        speed: RandomSpeed | None,
        equalizer: RandomEqualizer | None,
        gain_db: Sequence[float] | None,
        mixing: Mixing | None,
        reverb: RandomReverb | None,
        silence_db: float | None,
        max_redraws: int,
        max_bad_share: float,
    ) -> None:
        super().__init__()
        if gain_db is not None and len(gain_db) != 2:
            raise ValueError(f"gain_db must be (low, high) in decibels or None, got {gain_db!r}")
        if not crop_s * sample_rate_hz >= 1:
            raise ValueError(
                f"crop_s must be at least one sample long, got {crop_s} s at {sample_rate_hz} Hz"
            )
        self._train = train
        self._valid = valid
        self._sample_rate_hz = sample_rate_hz
        self._channels = channels
        self.crop_samples = round(crop_s * sample_rate_hz)
        self._batch_size = batch_size
        self._batches_per_epoch = batches_per_epoch
        self._valid_max_s = valid_max_s
        self._num_workers = num_workers
        self._seed = seed
        gain = None if gain_db is None or mixing is not None else RandomGain(*gain_db)
        self._augmentations = CropAugmentations(speed, _chain(equalizer, gain), mixing, reverb)
        self._silence_db = silence_db
        self._max_redraws = max_redraws
        self._max_bad_share = max_bad_share
        self._crops: CropDataset | None = None
        self._clips: ClipDataset | None = None
        self._train_loader: ResumableLoader | None = None

    def setup(self, stage: str) -> None:
        """Find and check the files, once; call it by hand to do so before anything else is built.

        Raises:
            ValueError: missing path, no usable audio, too many bad files, arguments out of range.
        """
        if stage == "fit" and self._crops is None:
            self._crops = self._build_crops()
            self._build_sampler()  # a batch that the ranks cannot share is found here, not once the model is built
        if stage in ("fit", "validate") and self._clips is None and self._valid is not None:
            sources = load_sources(self._valid, self._max_bad_share)
            self._clips = ClipDataset(
                sources, self._valid_max_s, self._sample_rate_hz, self._channels, self._max_bad_share
            )
            self.val_dataloader()  # likewise fewer clips than ranks

    @property
    def crops(self) -> CropDataset:
        """What training draws; `setup("fit")` comes first."""
        assert self._crops is not None, "setup('fit') comes first"
        return self._crops

    def train_dataloader(self) -> ResumableLoader:
        self._train_loader = ResumableLoader(
            self.crops,
            self._build_sampler(),
            self._num_workers,
            self._max_bad_share,
            pin_memory=torch.cuda.is_available(),
        )
        return self._train_loader

    def val_dataloader(self) -> ClipLoader | list[Any]:
        if self._clips is None:
            return []
        return ClipLoader(self._clips, *self._rank_and_world_size())

    def teardown(self, stage: str) -> None:
        if self._train_loader is not None:
            self._train_loader.close()

    def _build_crops(self) -> CropDataset:
        return CropDataset(
            load_sources(self._train, self._max_bad_share),
            self.crop_samples,
            self._sample_rate_hz,
            self._channels,
            self._seed,
            self._silence_db,
            self._max_redraws,
            self._augmentations,
        )

    def _build_sampler(self) -> CounterBatchSampler:
        return CounterBatchSampler(self._batch_size, self._batches_per_epoch, *self._rank_and_world_size())

    def _rank_and_world_size(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def _chain(*steps: Augmentation | None) -> Augmentation:
    return Chain([step for step in steps if step is not None])
