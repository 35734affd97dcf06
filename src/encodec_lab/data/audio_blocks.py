"""Audio files in blocks, at the sample rate and with the channels that are asked for, in constant memory."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from encodec_lab.data.audio_file import AudioSource, probe, read_in_order
from encodec_lab.data.convert import convert_audio
from encodec_lab.data.converted_audio import converted_length
from encodec_lab.modules.signal import resampling_reach


class AudioBlocks:
    """A file in blocks [C, T] float32 of about `block_s` seconds; joined they are what `convert_audio` makes of all.

    Iterating again reads again; that raises AudioFileError once it has come to a fault.

    Args:
        source: a path, or a binary file that can be rewound.
        sample_rate_hz: to resample to.
        channels: 1 or 2, to mix or copy to.
        block_s: at a time; the memory in use is a small multiple of it.

    Attributes:
        info: of the file as it is.
        num_samples: T of all blocks together, as the file's header promises.

    Raises:
        AudioFileError: see `probe`.
        ValueError: the rate is not positive, `channels` is neither 1 nor 2, or `block_s` is not positive.
    """

    def __init__(self, source: AudioSource, sample_rate_hz: int, channels: int, block_s: float) -> None:
        if not 0 < block_s < math.inf:
            raise ValueError(f"block_s must be positive, got {block_s}")
        info = probe(source)
        if sample_rate_hz <= 0:
            raise ValueError(f"cannot resample to {sample_rate_hz} Hz")
        if channels not in (1, 2):
            raise ValueError(f"cannot convert to {channels} channels: must be 1 (mono) or 2 (stereo)")
        self.info = info
        self.num_samples = converted_length(info, sample_rate_hz)
        self._source = source
        self._to_hz = sample_rate_hz
        self._channels = channels
        self._block_samples = max(1, round(block_s * info.sample_rate_hz))

    def __iter__(self) -> Iterator[Tensor]:
        blocks = read_in_order(self._source, self._block_samples)
        return convert_blocks(blocks, self.info.sample_rate_hz, self._to_hz, self._channels)


def convert_blocks(blocks: Iterable[Tensor], from_hz: int, to_hz: int, channels: int) -> Iterator[Tensor]:
    """`convert_audio` of a recording that comes in blocks [C, T] of any length.

    The resampling filters repeat every from_hz / gcd samples, for which to_hz / gcd come out. So the recording is
    converted in whole numbers of these groups, each time with as many groups before and after as the filters reach.
    """
    divisor = math.gcd(from_hz, to_hz)
    group_in, group_out = from_hz // divisor, to_hz // divisor
    num_groups_around = math.ceil(resampling_reach(from_hz, to_hz) / group_in)
    held: Tensor | None = None
    num_groups_done = 0  # how many of the groups in `held` have come out: at most `num_groups_around`
    for block in blocks:
        held = block if held is None else torch.cat([held, block], dim=-1)
        stop = held.shape[-1] // group_in - num_groups_around
        if stop > num_groups_done:
            converted = convert_audio(
                held[:, : (stop + num_groups_around) * group_in], from_hz, to_hz, channels
            )
            yield converted[:, num_groups_done * group_out : stop * group_out]
            num_groups_left_out = max(0, stop - num_groups_around)
            held = held[:, num_groups_left_out * group_in :].clone()
            num_groups_done = stop - num_groups_left_out
    if held is not None and held.shape[-1] > num_groups_done * group_in:
        yield convert_audio(held, from_hz, to_hz, channels)[:, num_groups_done * group_out :]
