"""Reductions over the ranks of a data-parallel run; each is a no-op in a single process."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """The number of ranks, 1 when `torch.distributed` is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's index among the ranks, 0 when `torch.distributed` is not in use."""
    return dist.get_rank() if world_size() > 1 else 0


def all_reduce_sum_(tensor: Tensor) -> Tensor:
    """Sum `tensor` over the ranks, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def all_gather_rows(tensor: Tensor) -> Tensor:
    """Concatenate [N, ...] of all ranks along the first axis, in rank order; N must be the same on all ranks."""
    if world_size() == 1:
        return tensor
    gathered = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(gathered, tensor.contiguous())
    return torch.cat(gathered)


def broadcast_from_first_(tensors: Iterable[Tensor]) -> None:
    """Overwrite every tensor by the first rank's."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
