"""Random reverberation by synthetic rooms, for training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.data.augmentation import (
    check_probability,
    check_range,
    fft_length,
    filtered,
    takes_place,
    without_clipping,
)


class Room(NamedTuple):
    """What `RandomReverb` draws for one item.

    Attributes:
        rt60_s: the time in which the tail falls by 60 dB.
        direct_to_reverberant_db: the energy of the direct sound over that of the tail.
    """

    rt60_s: float
    direct_to_reverberant_db: float


@dataclass(frozen=True)
class RandomReverb:
    """Convolve with a room's response, drawn anew each time (EnCodec, arXiv 2210.13438, section A.1).

    The paper takes measured responses of the DNS challenge; these are synthetic, so that none need be had. What a room
    holds of the time before the crop is left out: its first instants are drier than the rest.

    Args:
        probability: that it takes place.
        rt60_s: (low, high) of the time in which the tail falls by 60 dB, drawn uniformly.
        direct_to_reverberant_db: (low, high) of the energy of the direct sound over that of the tail, likewise.
        sample_rate_hz: of the audio.
    """

    probability: float
    rt60_s: Sequence[float]
    direct_to_reverberant_db: Sequence[float]
    sample_rate_hz: int

    def __post_init__(self) -> None:
        check_probability("reverb", self.probability)
        low, _ = check_range("reverb.rt60_s", self.rt60_s)
        if low <= 0:
            raise ValueError(f"reverb.rt60_s must be above 0 s, got {self.rt60_s!r}")
        check_range("reverb.direct_to_reverberant_db", self.direct_to_reverberant_db)

    def __call__(self, wav: Tensor, rng: np.random.Generator) -> Tensor:
        """[C, T] -> [C, T], scaled down where it would clip."""
        room = self.draw(rng)
        if room is None:
            return wav
        response = room_response(*room, self.sample_rate_hz, wav.shape[0], rng)
        # What the tail does after the crop is not heard.
        response = response[:, : wav.shape[-1]].astype(np.float32)
        length = fft_length(wav.shape[-1] + response.shape[-1])
        return without_clipping(filtered(wav, np.fft.rfft(response, length), length))

    def draw(self, rng: np.random.Generator) -> Room | None:
        """The room of one item, of which the noise is drawn next; None where nothing changes."""
        if not takes_place(self.probability, rng):
            return None
        rt60_s = rng.uniform(self.rt60_s[0], self.rt60_s[1])
        return Room(rt60_s, rng.uniform(self.direct_to_reverberant_db[0], self.direct_to_reverberant_db[1]))


def room_response(
    rt60_s: float,
    direct_to_reverberant_db: float,
    sample_rate_hz: int,
    channels: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The response of a room, [C, N] of energy 1 per channel: the direct sound, then noise that dies away.

    The model of J.-D. Polack (1988): Gaussian noise times an exponential, which falls by 60 dB in `rt60_s`, where it
    ends. The tails of the channels are independent, as in a diffuse field. The direct sound is the first sample, which
    delays nothing.
    """
    num_samples = 1 + math.ceil(rt60_s * sample_rate_hz)
    decay = np.exp(np.arange(num_samples) * (-3 * math.log(10) / (rt60_s * sample_rate_hz)))
    response: NDArray[np.float64] = rng.standard_normal((channels, num_samples)) * decay
    response[:, 0] = 0
    response *= 10 ** (-direct_to_reverberant_db / 20) / np.sqrt((response**2).sum(axis=1, keepdims=True))
    response[:, 0] = 1
    response /= np.sqrt((response**2).sum(axis=1, keepdims=True))
    return response
