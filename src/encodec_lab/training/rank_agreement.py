"""Agreeing on a number over the ranks of a run without making any of them, or its device, wait."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from encodec_lab.modules.distributed import world_size


class DelayedMaximum:
    """The greatest of the numbers that the ranks give, one call later; in a single process at once.

    All ranks call it equally often. The reduction goes on beside whatever follows, so that nobody waits for it.

    Args:
        device: the rank's own, where the run's collectives work.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._under_way: tuple[Callable[[], object], Tensor] | None = None

    def __call__(self, value: int) -> int:
        """Send this rank's number; gives the greatest of those sent by the call before, 0 at the first."""
        if world_size() == 1:
            return value
        greatest = self.finish()
        sent = torch.full((), value, dtype=torch.int32, device=self._device)  # by a kernel: a copy would wait
        work = dist.all_reduce(sent, dist.ReduceOp.MAX, async_op=True)
        assert work is not None
        wait: Callable[[], object] = work.wait
        if sent.is_cuda:
            work.wait()  # the device's queue does, not the host
            sent = sent.to("cpu", non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
            wait = copied.synchronize
        self._under_way = (wait, sent)
        return greatest

    def finish(self) -> int:
        """The greatest of those sent by the call before, 0 if there was none; nothing is under way afterwards."""
        if self._under_way is None:
            return 0
        wait, received = self._under_way
        self._under_way = None
        wait()
        return int(received)
