"""The latent of a codec that starts as a transform codec and vocoder: what is coded of a block, and on which scales."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_BANDS = 12  # thirds of an octave, four octaves in all

_COMPANDING_FLOOR = 1e-3  # coefficients well below it are companded linearly: about -70 dBFS
LARGEST_COEFFICIENT = 6.0
_LEVEL_FLOOR = 3e-7  # of a coefficient's power
LEVEL_CENTRE_DB = 40.0  # below full scale
LEVEL_SCALE = 0.02  # a decibel beside companded coefficients: the share that quantisation error gets
LOUDEST_DB = 12.0  # of a band's level

_OUTER_WEIGHT = 0.5


def compand(coefficients: Tensor) -> Tensor:
    """What the latent holds of the low coefficients, of any shape."""
    size = (coefficients.abs() + _COMPANDING_FLOOR).sqrt() - math.sqrt(_COMPANDING_FLOOR)
    return coefficients.sign() * size


def expand(companded: Tensor) -> Tensor:
    """The inverse of `compand`."""
    size = (companded.abs() + math.sqrt(_COMPANDING_FLOOR)).square() - _COMPANDING_FLOOR
    return companded.sign() * size


def scaled_level(rms: Tensor) -> Tensor:
    """What the latent holds of a band whose coefficients have this RMS."""
    return LEVEL_SCALE * (10 * torch.log10(rms.square() + _LEVEL_FLOOR) + LEVEL_CENTRE_DB)


@dataclass(frozen=True)
class VocoderShape:
    """How a block is divided.

    Attributes:
        hop_length: samples of a block, and coefficients of its transform.
        num_low: how many coefficients are coded themselves.
    """

    hop_length: int
    num_low: int

    @property
    def weights(self) -> Tensor:
        """What the latent's dimensions are multiplied by [num_low + bands]: the outermost, of no use to words, by half.

        Those are the lowest sixth of the coefficients and the upper third of the bands.
        """
        weights = torch.ones(self.num_low + NUM_BANDS)
        weights[: self.num_low // 6] = _OUTER_WEIGHT
        weights[len(weights) - NUM_BANDS // 3 :] = _OUTER_WEIGHT
        return weights

    @property
    def bands(self) -> list[tuple[int, int]]:
        """First coefficient and end of each band: equal intervals of pitch, thirds of octaves if they are four."""
        octaves = math.log2(self.hop_length / self.num_low)
        edges = [round(self.num_low * 2 ** (octaves * band / NUM_BANDS)) for band in range(NUM_BANDS + 1)]
        return list(itertools.pairwise(edges))
