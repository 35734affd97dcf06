"""Audio files, whole or in part, at the sample rate and with the channels that are asked for."""

import math
from pathlib import Path

from torch import Tensor

from encodec_lab.data.audio_file import AudioInfo, read_crop, read_whole
from encodec_lab.data.convert import convert_audio
from encodec_lab.modules.signal import resampling_reach


def read_converted(path: str | Path, to_hz: int, channels: int) -> Tensor:
    """The whole file, converted: [channels, T]. Raises as `read_whole` and `convert_audio`."""
    wav, from_hz = read_whole(path)
    return convert_audio(wav, from_hz, to_hz, channels)


def converted_length(info: AudioInfo, to_hz: int) -> int:
    """The length in samples of a whole file once resampled."""
    return -(-info.num_samples * to_hz // info.sample_rate_hz)


def read_converted_crop(info: AudioInfo, offset: int, num_samples: int, to_hz: int, channels: int) -> Tensor:
    """The crop [channels, num_samples] that the whole file, converted, would have at `offset`; shorter at its end.

    Reads no more than the crop and the reach of the resampling filter. The crop starts where the filters repeat (every
    from_hz / gcd samples of the file become to_hz / gcd), so that it equals that of the whole file.

    Raises:
        AudioFileError: see `read_crop`.
    """
    from_hz = info.sample_rate_hz
    num_samples = min(num_samples, converted_length(info, to_hz) - offset)
    divisor = math.gcd(from_hz, to_hz)
    block_in, block_out = from_hz // divisor, to_hz // divisor
    reach = resampling_reach(from_hz, to_hz)
    first_block = max(0, offset // block_out - math.ceil(reach / block_in))
    start = first_block * block_in
    stop = -(-(offset + num_samples) * from_hz // to_hz) + reach
    wav = read_crop(info.source, start, stop - start)
    converted = convert_audio(wav, from_hz, to_hz, channels)
    skip = offset - first_block * block_out
    return converted[:, skip : skip + num_samples]
