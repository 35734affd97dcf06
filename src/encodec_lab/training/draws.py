"""What a training step draws at random: a function of the seed and the step alone, so the same on every rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STREAM = 0x5354_4550  # keeps these draws apart from the data's, which hang on the same seed


@dataclass(frozen=True)
class StepDraws:
    """The draws of one step.

    Attributes:
        bandwidth_kbps: uniform over the codec's target bandwidths (EnCodec section 3.4).
        updates_discriminator: true with the given probability (EnCodec section 4.4).
        codebook_seed: for the quantiser's own draws.
    """

    bandwidth_kbps: float
    updates_discriminator: bool
    codebook_seed: int


def draw_step(
    seed: int, step: int, bandwidths: Sequence[float], discriminator_probability: float
) -> StepDraws:
    """Draw for generator step `step` of a run with seed `seed`."""
    generator = np.random.Generator(np.random.Philox(key=[seed, _STREAM], counter=[0, 0, 0, step]))
    return StepDraws(
        bandwidth_kbps=float(bandwidths[int(generator.integers(len(bandwidths)))]),
        updates_discriminator=bool(generator.random() < discriminator_probability),
        codebook_seed=int(generator.integers(2**62)),
    )
