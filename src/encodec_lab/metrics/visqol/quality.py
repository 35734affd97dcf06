"""From similarities to a mean opinion score."""

import functools
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORST, BEST = 1.0, 5.0


class SupportVectors(NamedTuple):
    """A support vector regression with a radial basis function: `coefficients` [V], `vectors` [V, F]."""

    gamma: float
    rho: float
    coefficients: NDArray[np.float64]
    vectors: NDArray[np.float64]


def audio_quality(similarities: NDArray[np.float64]) -> float:
    """Of the mean similarity in each of 32 bands, [F]: Google's support vector regression."""
    model = _audio_model()
    distances = np.square(model.vectors - similarities).sum(axis=1)
    return _clamp(float(model.coefficients @ np.exp(-model.gamma * distances)) - model.rho)


def speech_quality(similarities: NDArray[np.float64]) -> float:
    """Of the mean similarity in each band, [F]: Google's exponential fit to TCD-VoIP, scaled so that 1 gives 5."""
    fit = -262.847869 + np.exp(0.0154302525 * (float(similarities.mean()) + 361.063949))
    return _clamp(1.245063 * float(fit))


def _clamp(score: float) -> float:
    return min(max(score, WORST), BEST)


@functools.cache
def _audio_model() -> SupportVectors:
    """Read from libsvm's text format: a header of names and values, then `coefficient index:value ...` lines."""
    text = (files("encodec_lab") / "assets/visqol/libsvm_nu_svr_model.txt").read_text(encoding="ascii")
    header, _, body = text.partition("\nSV\n")
    facts = dict(line.split(" ", 1) for line in header.splitlines())
    assert (facts["svm_type"], facts["kernel_type"]) == ("nu_svr", "rbf"), facts
    rows = [line.split() for line in body.splitlines()]
    # Every index from 1 is there, so that the values alone are the vector.
    vectors = np.array([[float(pair.split(":")[1]) for pair in row[1:]] for row in rows])
    assert len(rows) == int(facts["total_sv"])
    coefficients = np.array([float(row[0]) for row in rows])
    return SupportVectors(float(facts["gamma"]), float(facts["rho"]), coefficients, vectors)
