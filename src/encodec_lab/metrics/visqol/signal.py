"""The arrays that the stages of ViSQOL pass on."""

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
"""Samples of a mono signal, [T]."""

Spectrogram = NDArray[np.float64]
"""Levels of gammatone bands, lowest band first, [S, F] (or [..., S, F] for several)."""
