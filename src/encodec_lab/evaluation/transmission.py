"""What a codec's real bitstream makes of a recording."""

from dataclasses import dataclass

import torch
from torch import Tensor

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.models.encodec import EncodecModel


@dataclass(frozen=True)
class Transmitted:
    """What came out of compressing and decompressing.

    Attributes:
        bandwidth_kbps: the bandwidth that the codec was set to.
        true_kbps: from the size of the compressed stream, headers and all, and the duration.
        wav: [C, T] float32 on the CPU, as long as what went in.
    """

    bandwidth_kbps: float
    true_kbps: float
    wav: Tensor


def transmit(model: EncodecModel, wav: Tensor, bandwidth_kbps: float) -> Transmitted:
    """Compress [C, T] at a bandwidth and decompress it again."""
    with model.at_bandwidth(bandwidth_kbps):
        data = compress(model, wav)
    decoded, sample_rate_hz = decompress(data, model=model)
    assert sample_rate_hz == model.sample_rate and decoded.shape == wav.shape
    true_kbps = len(data) * 8 / (wav.shape[-1] / model.sample_rate) / 1000
    return Transmitted(float(bandwidth_kbps), true_kbps, decoded.to("cpu", torch.float32))
