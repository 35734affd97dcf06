"""Types that every layer shares.

Shape legend of the whole package: `B` batch, `C` audio channels, `T` samples, `D` latent dimension, `L` latent
frames, `K` codebooks, `V` codebook size, `F` frequency bins, `S` STFT frames.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # those who only need the error need not wait for torch
    from torch import Tensor


class EncodedFrame(NamedTuple):
    """One encoded segment (the whole recording for a codec without segments); unpacks as a pair.

    Attributes:
        codes: [B, K, L] int64, indices into the codebooks.
        scale: [B, 1] the factor that the segment was divided by, or None for a codec without normalisation.
    """

    codes: "Tensor"
    scale: "Tensor | None"


class EcdcError(ValueError):
    """A compressed stream that cannot be decoded; the message says what is wrong and where."""
