"""How fast a codec is: multiples of real time, and ratios to another codec in paired runs."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Codec(Protocol):
    """What is timed; the reference implementation fits as well."""

    channels: int
    sample_rate: int

    def encode(self, x: torch.Tensor, /) -> Any: ...
    def decode(self, frames: Any, /) -> torch.Tensor: ...


@dataclass(frozen=True)
class RealTimeFactors:
    """Seconds of audio per second of work, on the threads that torch was given."""

    encode: float
    decode: float


@torch.no_grad()
def measure_in_turns(codecs: list[Codec], duration_s: float, num_repeats: int) -> list[RealTimeFactors]:
    """Medians of `num_repeats` runs over noise of the given duration, after one that is not counted.

    Each codec works at the bandwidth that it is set to. They take turns, so that a machine whose speed drifts is unjust
    to none.
    """
    durations: list[tuple[list[float], list[float]]] = [([], []) for _ in codecs]
    for repeat in range(num_repeats + 1):
        for codec, (encoding, decoding) in zip(codecs, durations, strict=True):
            wav = _noise(codec, duration_s)
            frames, encode_s = _timed(lambda codec=codec, wav=wav: codec.encode(wav))  # type: ignore[misc]
            _, decode_s = _timed(lambda codec=codec, frames=frames: codec.decode(frames))  # type: ignore[misc]
            if repeat:
                encoding.append(encode_s)
                decoding.append(decode_s)
    return [
        RealTimeFactors(duration_s / statistics.median(encoding), duration_s / statistics.median(decoding))
        for encoding, decoding in durations
    ]


def _noise(codec: Codec, duration_s: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    wav = 0.1 * torch.randn(1, codec.channels, round(duration_s * codec.sample_rate), generator=generator)
    return wav.to(getattr(codec, "device", "cpu"))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and the seconds that it takes."""
    started_s = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - started_s
