"""How much of each codebook the training batches use."""

import torch
from torch import Tensor, nn

from encodec_lab.quantization.usage import usage_of_counts


class UsageCounter(nn.Module):
    """Counts codes between two calls of `pop_figures`; the counts are part of the state, so a resumed run goes on."""

    counts: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(num_codebooks, codebook_size))

    @torch.no_grad()
    def add(self, counts: Tensor) -> None:
        """Add one step's counts [K, V] over all ranks; K may be less than the number of codebooks."""
        self.counts[: counts.shape[0]] += counts

    @torch.no_grad()
    def pop_figures(self) -> dict[str, Tensor]:
        """Per codebook k: `codebook/used/k`, the share of its entries that were chosen at least once,
        and `codebook/perplexity/k`, 2 to the entropy of the choices; then start counting anew.
        """
        used, perplexities = usage_of_counts(self.counts)
        self.counts.zero_()
        figures = {f"codebook/used/{k:02d}": value for k, value in enumerate(used)}
        return figures | {f"codebook/perplexity/{k:02d}": value for k, value in enumerate(perplexities)}
