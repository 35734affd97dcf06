"""Sequences of codes for training a language model, where sequence number i depends on nothing but the seed and i."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.data.random_stream import random_stream
from encodec_lab.data.sampler import CounterBatchSampler

# What fills up sequences of recordings that are shorter.
NO_CODE = -1

# Keeps the numbers of this module apart from those of other users of the same seed.
_STREAM_TAG = 0x434F4445


class CodeCrops:
    """Endless random sequences out of recordings' codes, which lie in memory.

    Each index has a random stream of its own (see `random_stream`), so a sequence is the same in any order and on any
    number of ranks. It starts anywhere in its recording.

    Args:
        recordings: codes [K, L] of each.
        weights: how likely a recording is; relative to each other.
        num_frames: S of a sequence; a shorter recording is filled up with `NO_CODE`.
        seed: 0 or more.
    """

    def __init__(
        self,
        recordings: Sequence[NDArray[np.int16]],
        weights: Sequence[float],
        num_frames: int,
        seed: int,
    ) -> None:
        if num_frames < 2:
            raise ValueError(f"a sequence needs at least two frames, got {num_frames}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"the seed must be between 0 and 2^64 - 1, got {seed}")
        self._recordings = list(recordings)
        self._edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        self._num_frames = num_frames
        self._seed = seed

    def draw(self, index: int) -> NDArray[np.int16]:
        """Sequence number `index`, 0 or more, without end: codes [K, S]."""
        rng = random_stream(self._seed, _STREAM_TAG, index)
        chosen = int(np.searchsorted(self._edges, rng.random() * self._edges[-1], side="right"))
        codes = self._recordings[min(chosen, len(self._recordings) - 1)]
        offset = int(rng.integers(max(0, codes.shape[1] - self._num_frames) + 1))
        sequence = codes[:, offset : offset + self._num_frames]
        missing = self._num_frames - sequence.shape[1]
        return np.pad(sequence, ((0, 0), (0, missing)), constant_values=NO_CODE)


class CodeLoader:
    """The batches [B, K, S] int16 of one rank; what `ResumableLoader` is to audio, without the reading."""

    def __init__(self, crops: CodeCrops, sampler: CounterBatchSampler) -> None:
        self._crops = crops
        self._sampler = sampler

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Tensor]:
        for indices in self._sampler:
            self._sampler.next_index += self._sampler.global_batch_size
            yield torch.from_numpy(np.stack([self._crops.draw(index) for index in indices]))

    def state_dict(self) -> dict[str, Any]:
        """The global index of the next sequence."""
        return {"next_index": self._sampler.next_index}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there, with the next iteration."""
        self._sampler.next_index = int(state["next_index"])


def cut_records(recordings: Sequence[NDArray[np.int16]], num_frames: int) -> list[NDArray[np.int16]]:
    """Each recording [K, L] cut into records of `num_frames` frames, the last one of each shorter."""
    return [
        codes[:, start : start + num_frames]
        for codes in recordings
        for start in range(0, codes.shape[1], num_frames)
    ]


class RecordLoader:
    """The records of one rank, every `world_size`-th from `rank` on: [B, K, S] int16, several of one length at a time.

    Raises:
        ValueError: fewer records than ranks.
    """

    _AT_A_TIME = 4

    def __init__(self, records: Sequence[NDArray[np.int16]], rank: int, world_size: int) -> None:
        if len(records) < world_size:
            raise ValueError(
                f"{len(records)} validation records cannot be shared by {world_size} ranks; give one to each"
            )
        mine = sorted(records[rank::world_size], key=lambda codes: -codes.shape[1])
        self._batches: list[list[NDArray[np.int16]]] = []
        for codes in mine:
            last = self._batches[-1] if self._batches else []
            if last and len(last) < self._AT_A_TIME and last[0].shape == codes.shape:
                last.append(codes)
            else:
                self._batches.append([codes])

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self._batches:
            yield torch.from_numpy(np.stack(batch))
