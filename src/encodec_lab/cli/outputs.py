"""Writing results: whole or not at all, and without clipping unnoticed."""

import os
import sys
import uuid
from pathlib import Path

from torch import Tensor

from encodec_lab.data.audio_file import write_wav

PEAK_LIMIT = 0.99  # the reference's


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it, so that `path` holds the old content or all of the new."""
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        staged.write_bytes(data)
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def write_decompressed(path: Path, wav: Tensor, sample_rate_hz: int, rescale: bool) -> None:
    """Write [C, T] as WAV with no sample beyond `PEAK_LIMIT`: scaled down as a whole if `rescale`, else clipped.

    Clipping is said on standard error.
    """
    peak = wav.abs().max().item()
    if rescale:
        wav = wav * min(PEAK_LIMIT / max(peak, PEAK_LIMIT), 1.0)
    elif peak > PEAK_LIMIT:
        print(
            f"encodec: {path}: clipping: the peak is {peak:.3f}, the limit {PEAK_LIMIT};"
            " use -r / --rescale to scale the output down instead",
            file=sys.stderr,
        )
    write_wav(path, wav.clamp(-PEAK_LIMIT, PEAK_LIMIT), sample_rate_hz)
