"""The exponential moving average of the codec's weights that validation and export use."""

import copy

import torch
from torch import Tensor, nn

from encodec_lab.models.encodec import EncodecModel


class WeightAverage(nn.Module):
    """A copy of a codec whose parameters follow it as a moving average; buffers (the codebooks) are copied.

    The decay is `min(decay, (1 + n) / (10 + n))` at update n, so that the random start is forgotten quickly. Being a
    module, it is saved and restored with the module that holds it.
    """

    def __init__(self, codec: EncodecModel, decay: float) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay of the weight average must be in [0, 1), got {decay}")
        self.decay = decay
        self.codec = copy.deepcopy(codec).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "WeightAverage":
        """Stay in evaluation mode, whatever the holder does."""
        return super().train(False)

    @torch.no_grad()
    def update(self, codec: EncodecModel, step: int) -> None:
        """Follow the codec after its update number `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.codec.parameters())
        currents: list[Tensor] = list(codec.parameters())
        torch._foreach_lerp_(averages, currents, 1 - decay)
        for mine, current in zip(self.codec.buffers(), codec.buffers(), strict=True):
            mine.copy_(current)
