"""How fast a codec is: multiples of real time, and ratios to another codec in paired runs."""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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


class RoundTrip(NamedTuple):
    """Work on some audio, and the way back.

    Attributes:
        duration_s: of the audio.
        encode: the work.
        decode: what takes what `encode` gives.
    """

    duration_s: float
    encode: Callable[[], Any]
    decode: Callable[[Any], Any]


@torch.no_grad()
def measure_round_trips(trips: Sequence[RoundTrip], num_repeats: int) -> list[RealTimeFactors]:
    """Medians of `num_repeats` runs, after one that is not counted.

    They take turns, so that a machine whose speed drifts is unjust to none.
    """
    durations: list[tuple[list[float], list[float]]] = [([], []) for _ in trips]
    for repeat in range(num_repeats + 1):
        for trip, (encoding, decoding) in zip(trips, durations, strict=True):
            data, encode_s = timed(trip.encode)
            _, decode_s = timed(functools.partial(trip.decode, data))
            if repeat:
                encoding.append(encode_s)
                decoding.append(decode_s)
    return [
        RealTimeFactors(
            trip.duration_s / statistics.median(encoding), trip.duration_s / statistics.median(decoding)
        )
        for trip, (encoding, decoding) in zip(trips, durations, strict=True)
    ]


def measure_in_turns(codecs: Sequence[Codec], duration_s: float, num_repeats: int) -> list[RealTimeFactors]:
    """`measure_round_trips` of codecs over noise of the given duration, each at the bandwidth that it is set to."""
    return measure_round_trips(
        [
            RoundTrip(duration_s, functools.partial(codec.encode, _noise(codec, duration_s)), codec.decode)
            for codec in codecs
        ],
        num_repeats,
    )


def _noise(codec: Codec, duration_s: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    wav = 0.1 * torch.randn(1, codec.channels, round(duration_s * codec.sample_rate), generator=generator)
    return wav.to(getattr(codec, "device", "cpu"))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and the seconds that it takes."""
    started_s = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - started_s
