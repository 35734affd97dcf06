"""The exponential moving average of a network's weights that validation and export use."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from encodec_lab.models.encodec import EncodecModel

Network = TypeVar("Network", bound=nn.Module)


def averaging_copy(network: Network, decay: float) -> Network:
    """A copy that learns nothing by itself, for `follow_`; ValueError if `decay` is out of range."""
    if not 0 <= decay < 1:
        raise ValueError(f"decay of the weight average must be in [0, 1), got {decay}")
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def follow_(average: Network, network: Network, decay: float, step: int) -> None:
    """Let the average's parameters follow the network's after its update number `step`, counted from 0; buffers are
    copied.

    The decay is `min(decay, (1 + n) / (10 + n))` at update n, so that the random start is forgotten quickly.
    """
    decay = min(decay, (1 + step) / (10 + step))
    averages: list[Tensor] = list(average.parameters())
    currents: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(averages, currents, 1 - decay)
    for mine, current in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(current)


class WeightAverage(nn.Module):
    """The average of a codec; buffers (the codebooks) are copied.

    Being a module, it is saved and restored with the module that holds it.
    """

    def __init__(self, codec: EncodecModel, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.codec = averaging_copy(codec, decay)

    def train(self, mode: bool = True) -> "WeightAverage":
        """Stay in evaluation mode, whatever the holder does."""
        return super().train(False)

    def update(self, codec: EncodecModel, step: int) -> None:
        """Follow the codec after its update number `step`, counted from 0."""
        follow_(self.codec, codec, self.decay, step)
