"""How evenly the entries of a codebook are chosen."""

from typing import NamedTuple

import torch
from torch import Tensor


class UsageFigures(NamedTuple):
    """Figures of several codebooks.

    Attributes:
        used_share: [K] entries chosen at least once, over V.
        perplexity: [K] 2 to the entropy in bits of the choices; V if all are equally frequent, 1 without any choice.
    """

    used_share: Tensor
    perplexity: Tensor


def usage_of_counts(counts: Tensor) -> UsageFigures:
    """Figures, in double precision, from how often each entry was chosen [K, V]."""
    counts = counts.cpu()  # not every device has double precision
    frequencies = counts.double() / counts.sum(1, keepdim=True).clamp(min=1)
    entropy_nats = -torch.special.xlogy(frequencies, frequencies).sum(1)
    return UsageFigures((counts > 0).double().mean(1), entropy_nats.exp())
