"""How fast a codec is, as multiples of real time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from encodec_lab.models.encodec import EncodecModel


@dataclass(frozen=True)
class RealTimeFactors:
    """Seconds of audio per second of work, at one bandwidth and on the threads that torch was given."""

    encode: float
    decode: float


@torch.no_grad()
def measure_real_time_factors(
    model: EncodecModel, bandwidth_kbps: float, duration_s: float, num_repeats: int
) -> RealTimeFactors:
    """The best of `num_repeats` runs over noise of the given duration, after one that is not counted.

    Raises:
        ValueError: the model does not support the bandwidth.
    """
    model.set_target_bandwidth(bandwidth_kbps)
    generator = torch.Generator().manual_seed(0)
    wav = 0.1 * torch.randn(1, model.channels, round(duration_s * model.sample_rate), generator=generator)
    wav = wav.to(next(model.parameters()).device)
    frames = model.encode(wav)
    return RealTimeFactors(
        encode=duration_s / _shortest_s(lambda: model.encode(wav), num_repeats),
        decode=duration_s / _shortest_s(lambda: model.decode(frames), num_repeats),
    )


def _shortest_s(work: Callable[[], object], num_repeats: int) -> float:
    durations = []
    for repeat in range(num_repeats + 1):
        started_s = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if repeat:
            durations.append(time.perf_counter() - started_s)
    return min(durations)
