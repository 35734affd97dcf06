"""Writing results: whole or not at all, and without clipping unnoticed."""

import sys
from pathlib import Path

from torch import Tensor

from encodec_lab.data.audio_file import write_wav
from encodec_lab.data.whole_file import whole_file

PEAK_LIMIT = 0.99  # the reference's


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as staged:
        staged.write_bytes(data)


def write_decompressed(path: Path, wav: Tensor, sample_rate_hz: int, rescale: bool) -> None:
    """Write [C, T] as WAV with no sample beyond `PEAK_LIMIT`: scaled down as a whole if `rescale`, else clipped.

    Clipping is said on standard error.
    """
    peak = wav.abs().max().item()
    if rescale:
        wav = wav * (PEAK_LIMIT / max(peak, PEAK_LIMIT))
    elif peak > PEAK_LIMIT:
        print(
            f"encodec: {path}: clipping: the peak is {peak:.3f}, the limit {PEAK_LIMIT};"
            " use -r / --rescale to scale the output down instead",
            file=sys.stderr,
        )
    write_wav(path, wav.clamp(-PEAK_LIMIT, PEAK_LIMIT), sample_rate_hz)
