"""Which crops make a batch: a function of the position in the run alone."""

from collections.abc import Iterator

from torch.utils.data import Sampler


class CounterBatchSampler(Sampler[list[int]]):
    """Counts through the global indices, a global batch at a time; each rank takes its contiguous share of each.

    With G items in the global batch and W ranks, the batch that starts at global index i gives rank r the indices
    i + r·G/W to i + (r + 1)·G/W - 1. The shares of all ranks, one after the other, are the batch of a single rank.

    Args:
        global_batch_size: G, over all ranks.
        num_batches: length of one iteration.
        rank: 0 <= rank < world_size.
        world_size: number of ranks, must divide G.

    Attributes:
        next_index: the global index at which the next iteration starts; set it to move.
    """

    def __init__(self, global_batch_size: int, num_batches: int, rank: int, world_size: int) -> None:
        if global_batch_size < 1 or num_batches < 1:
            raise ValueError(
                f"a batch needs an item and an epoch a batch, got batch size {global_batch_size} "
                f"and {num_batches} batches per epoch"
            )
        if global_batch_size % world_size:
            raise ValueError(
                f"the global batch of {global_batch_size} items cannot be divided among {world_size} ranks; "
                f"take a multiple of {world_size}"
            )
        assert 0 <= rank < world_size
        self.global_batch_size = global_batch_size
        self.num_batches = num_batches
        self.next_index = 0
        self._share = global_batch_size // world_size
        self._share_offset = rank * self._share

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        start = self.next_index + self._share_offset
        for batch in range(self.num_batches):
            first = start + batch * self.global_batch_size
            yield list(range(first, first + self._share))
