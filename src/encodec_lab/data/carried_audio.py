"""The clips that the package carries, for what needs real audio and is given none."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from encodec_lab.data.audio_file import read_whole
from encodec_lab.data.convert import convert_audio


def carried_clips(sample_rate_hz: int, channels: int) -> Iterator[Tensor]:
    """All training clips [C, T], 5 to 20 s each: music and speech in turns while there is music, then speech."""
    folder = Path(__file__).parents[1] / "assets/audio/train"
    domains = [sorted((folder / domain).iterdir()) for domain in ("music", "speech")]
    for path in itertools.chain.from_iterable(itertools.zip_longest(*domains)):
        if path is not None:
            yield convert_audio(*read_whole(path), sample_rate_hz, channels)


def carried_recording(sample_rate_hz: int, channels: int, duration_s: float) -> Tensor:
    """The first seconds of all training clips one behind the other, [C, T]."""
    parts: list[Tensor] = []
    num_missing = round(duration_s * sample_rate_hz)
    for clip in carried_clips(sample_rate_hz, channels):
        parts.append(clip[:, :num_missing])
        num_missing -= parts[-1].shape[1]
        if num_missing == 0:
            return torch.cat(parts, dim=1)
    raise ValueError(f"{duration_s:g} s are {num_missing / sample_rate_hz:g} s more than the package carries")
