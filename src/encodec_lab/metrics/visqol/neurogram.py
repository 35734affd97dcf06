"""The neurogram similarity index measure (Hines and Harte 2012): a structural similarity of spectrograms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encodec_lab.metrics.visqol.signal import Spectrogram

# A Gaussian window of three by three: its corners, edges and centre.
_CORNER, _EDGE, _CENTRE = 0.0113033910173052, 0.0838251475442633, 0.619485845753726
_INTENSITY_CONSTANT = 0.01**2
_STRUCTURE_CONSTANT = 0.03**2 / 2


class Patches(NamedTuple):
    """Spectrograms and their local statistics, each [..., S, F]."""

    levels: Spectrogram
    means: Spectrogram
    deviations: Spectrogram


def measured(levels: Spectrogram) -> Patches:
    """Patches [..., S, F] with their statistics."""
    means = _smooth(levels)
    # Rounding can leave the variance of a constant patch below zero.
    variances = np.maximum(_smooth(levels * levels) - means * means, 0)
    return Patches(levels, means, np.sqrt(variances))


def similarity(reference: Patches, degraded: Patches) -> NDArray[np.float64]:
    """Similarity at every point, up to 1, [..., S, F]; the two broadcast."""
    products = reference.means * degraded.means
    structure = _smooth(reference.levels * degraded.levels)
    structure -= products
    structure += _STRUCTURE_CONSTANT
    products *= 2
    products += _INTENSITY_CONSTANT
    structure *= products
    scale = reference.means * reference.means + _INTENSITY_CONSTANT + degraded.means * degraded.means
    scale *= reference.deviations * degraded.deviations + _STRUCTURE_CONSTANT
    structure /= scale
    return structure


def _smooth(levels: Spectrogram) -> Spectrogram:
    """Convolution over S and F, [..., S, F], each patch continued by its edges."""
    neighbours = np.empty_like(levels)  # in the bands above and below
    neighbours[..., 1:-1] = levels[..., 2:]
    neighbours[..., 1:-1] += levels[..., :-2]
    neighbours[..., 0] = levels[..., 0] + levels[..., 1]
    neighbours[..., -1] = levels[..., -1] + levels[..., -2]
    smoothed = _CENTRE * levels
    smoothed += _EDGE * neighbours
    neighbours *= _CORNER
    neighbours += _EDGE * levels
    smoothed[..., 1:, :] += neighbours[..., :-1, :]
    smoothed[..., :-1, :] += neighbours[..., 1:, :]
    smoothed[..., 0, :] += neighbours[..., 0, :]
    smoothed[..., -1, :] += neighbours[..., -1, :]
    return smoothed
