"""What a training step draws at random (EnCodec, arXiv 2210.13438, sections 3.4 and 4.4).

A function of the seed and the step alone, so the same on every rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from encodec_lab.data.random_stream import random_stream

# Keep these draws apart from each other and from the data's, which hang on the same seed.
_STREAM = 0x5354_4550
_LM_STREAM = 0x4C4D_5354


@dataclass(frozen=True)
class StepDraws:
    """The draws of one step.

    Attributes:
        bandwidth_kbps: uniform over the codec's target bandwidths [EnCodec section 3.4].
        updates_discriminator: true with the given probability [EnCodec section 4.4].
        codebook_seed: for the quantiser's own draws.
    """

    bandwidth_kbps: float
    updates_discriminator: bool
    codebook_seed: int


def draw_step(
    seed: int, step: int, bandwidths: Sequence[float], discriminator_probability: float
) -> StepDraws:
    """Draw for generator step `step` of a run with seed `seed`."""
    generator = random_stream(seed, _STREAM, step)
    return StepDraws(
        bandwidth_kbps=float(bandwidths[int(generator.integers(len(bandwidths)))]),
        updates_discriminator=bool(generator.random() < discriminator_probability),
        codebook_seed=int(generator.integers(2**62)),
    )


@dataclass(frozen=True)
class LMStepDraws:
    """The draws of one step of a language model's training.

    Attributes:
        bandwidth_kbps: uniform over the codec's target bandwidths, so that one model serves all.
        offset: position of the batch's first frame [EnCodec section 3.3].
        dropout_seed: for what is dropped.
    """

    bandwidth_kbps: float
    offset: int
    dropout_seed: int


def draw_lm_step(seed: int, step: int, bandwidths: Sequence[float], num_offsets: int) -> LMStepDraws:
    """Draw for step `step` of a run with seed `seed`; offsets are 0 to `num_offsets` - 1."""
    generator = random_stream(seed, _LM_STREAM, step)
    return LMStepDraws(
        bandwidth_kbps=float(bandwidths[int(generator.integers(len(bandwidths)))]),
        offset=int(generator.integers(num_offsets)),
        dropout_seed=int(generator.integers(2**62)),
    )
