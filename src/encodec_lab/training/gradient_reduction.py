"""Gradients averaged over the ranks in buckets, while the backward pass that makes them still goes on."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import ClassVar, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from encodec_lab.modules.distributed import world_size


@dataclass
class _Bucket:
    """Parameters whose gradients go through one collective.

    Attributes:
        parameters: in the order in which they lie in the collective's tensor.
        num_missing: of their gradients, in this backward pass.
        flat: the gradients one after the other, once they are on their way.
        work: the collective.
    """

    parameters: list[nn.Parameter]
    num_missing: int
    flat: Tensor | None = None
    work: dist.Work | None = None


class GradientReduction:
    """Averages the gradients of one backward pass over the ranks.

    A bucket sets out as soon as the pass has made all its gradients and the buckets before it have set out; the first
    ones hold the parameters that the forward pass uses last. So the order of the collectives is the same on all ranks,
    in whatever order each makes its gradients, and what is summed with what depends on the parameters alone: a run that
    is resumed sums as one that was never stopped. Every rank must reduce the same parameters in the same turn, and
    start no other collective in the `with` block. A gradient that a rank does not make counts as zero. The host waits
    for no GPU here, and a single process has no hooks at all.

    Example:
        with GradientReduction(network.parameters()) as reduction:
            loss.backward()
        norm = reduction.finish()

    Args:
        parameters: whose gradients are averaged, all of one data type and on one device. Those they have already are
            added to, so a step begins with `zero_grad`.
        forward_order: the same parameters as the forward pass uses them, if that is another order.

    Attributes:
        bucket_bytes: a bucket is full when it has so many: enough for the links between machines to run at full speed,
            and few enough for a codec's 60 MB to set out early.
    """

    bucket_bytes: ClassVar[int] = 8 * 2**20

    def __init__(
        self, parameters: Iterable[nn.Parameter], forward_order: Iterable[nn.Parameter] | None = None
    ) -> None:
        self._parameters = list(parameters)
        order = self._parameters if forward_order is None else list(forward_order)
        self._buckets = _fill_buckets(order, self.bucket_bytes) if world_size() > 1 else []
        self._num_launched = 0
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Self:
        """Watch the parameters."""
        for bucket in self._buckets:
            for parameter in bucket.parameters:
                note = partial(self._note, bucket)
                hook = parameter.register_post_accumulate_grad_hook(note)  # type: ignore[no-untyped-call]
                self._hooks.append(hook)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Watch them no longer, and send what the pass has left over."""
        for hook in self._hooks:
            hook.remove()
        if kind is not None:
            return
        for parameter in self._parameters:
            if parameter.grad is None:  # the decoder alone learns nothing while vectors are gathered, say
                parameter.grad = torch.zeros_like(parameter)
        while self._num_launched < len(self._buckets):
            self._launch_next()

    def _note(self, bucket: _Bucket, parameter: nn.Parameter) -> None:
        """Send the buckets that this gradient, which has just been made, completes."""
        assert bucket.num_missing > 0, "one backward pass for each reduction"
        bucket.num_missing -= 1
        while self._num_launched < len(self._buckets) and not self._buckets[self._num_launched].num_missing:
            self._launch_next()

    def _launch_next(self) -> None:
        bucket = self._buckets[self._num_launched]
        bucket.flat = torch.cat([gradient.reshape(-1) for gradient in _gradients(bucket.parameters)])
        bucket.work = dist.all_reduce(bucket.flat, async_op=True)
        self._num_launched += 1

    @torch.no_grad()
    def finish(self) -> Tensor:
        """Put the means in the gradients' place; returns their total norm []."""
        for bucket in self._buckets:
            assert bucket.flat is not None and bucket.work is not None, "finish comes after the with block"
            bucket.work.wait()
            bucket.flat /= world_size()
            gradients = _gradients(bucket.parameters)
            parts = torch.split(bucket.flat, [gradient.numel() for gradient in gradients])
            torch._foreach_copy_(
                gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
            )
        return torch.nn.utils.get_total_norm(_gradients(self._parameters))


def _fill_buckets(parameters: Iterable[nn.Parameter], bucket_bytes: int) -> list[_Bucket]:
    """The parameters from the last to the first, in buckets that are full or the last."""
    buckets: list[_Bucket] = []
    num_bytes = bucket_bytes
    for parameter in reversed(list(parameters)):
        if num_bytes >= bucket_bytes:
            buckets.append(_Bucket([], 0))
            num_bytes = 0
        buckets[-1].parameters.append(parameter)
        buckets[-1].num_missing += 1
        num_bytes += parameter.numel() * parameter.element_size()
    return buckets


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """The gradients of parameters that all have one."""
    gradients = []
    for parameter in parameters:
        assert parameter.grad is not None
        gradients.append(parameter.grad)
    return gradients
