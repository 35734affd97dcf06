"""The loss balancer (EnCodec, arXiv 2210.13438, section 3.4, eq. 5).

Its weights say what share of the gradient a loss gets, whatever its scale.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from encodec_lab.modules.distributed import all_reduce_sum_, world_size


class BalancedGradient(NamedTuple):
    """The result of `LossBalancer.forward`; all tensors are detached and stay on the device.

    Attributes:
        gradient: [B, C, T] float32, to be back-propagated from the output: `output.backward(gradient)`.
        norms: per loss, this step's gradient norm [] before balancing, over all ranks; not finite if the gradient
            was not.
        ratios: per loss, its share [] of the sum of the norms after balancing; all zero if nothing is left.
    """

    gradient: Tensor
    norms: dict[str, Tensor]
    ratios: dict[str, Tensor]


class LossBalancer(nn.Module):
    """Mix the gradients of several losses at the decoder's output [EnCodec section 3.4, eq. 5].

    With `g_i` the gradient of loss `i` at the output,

        gradient = sum_i  R * w_i / sum(w) * g_i / max(avg(||g_i||), min_norm)

    where `||.||` is the norm for one batch item, averaged over the items of all ranks, and `avg` an exponential
    moving average over the steps, corrected for its start at zero. `g_i` and its norm are those of the item's own
    loss (the local batch size times the gradient of the batch's mean), so that neither the averages nor an item's
    gradient depend on the batch size or on the number of ranks, and a run can be resumed with others. The result is
    multiplied by the number of ranks: parameter gradients that are averaged over ranks afterwards equal those of one
    process with the whole batch.

    A loss whose gradient is not finite, on any rank, contributes zero at this step on all ranks and leaves its
    average as it was; the shares of the others do not grow. A loss is amplified by at most R * w_i / sum(w) / min_norm:
    below `min_norm` a gradient is taken for rounding noise, and fades out instead of being blown up. Nothing here
    waits for the device. The averages are buffers, hence part of `state_dict`.

    Example:
        balancer = LossBalancer({"l1": 0.1, "mel": 1.0}, total_norm=1.0, decay=0.999, min_norm=1e-8)
        output = decoded.detach().requires_grad_()
        balanced = balancer({"l1": l1(wav, output), "mel": mel(wav, output)}, output)
        decoded.backward(balanced.gradient)

    Args:
        weights: `w_i` by name of loss, not negative, at least one above zero.
        total_norm: `R`, the norm that an item's gradient would have if the gradients of all losses were aligned.
        decay: of the moving average, in [0, 1); per step.
        min_norm: the floor of the averaged norm.
        enabled: false leaves the gradients' scales as they are, `gradient = sum_i w_i * g_i` with those of the batch's
            mean losses, for comparison; averages, norms and ratios are kept as usual.

    Raises:
        ValueError: for a value out of range.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        total_norm: float,
        decay: float,
        min_norm: float,
        enabled: bool = True,
    ) -> None:
        super().__init__()
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(
            weights.values()
        ):
            raise ValueError(
                f"weights {dict(weights)}: give finite weights, none negative, at least one above zero"
            )
        for name in weights:
            if not name.isidentifier() or hasattr(nn.ModuleDict, name):
                raise ValueError(
                    f"name of a loss {name!r}: use a word such as 'mel', it becomes part of state_dict keys"
                )
        if not 0 <= decay < 1:
            raise ValueError(f"decay {decay}: use at least 0 and less than 1")
        if not (total_norm > 0 and min_norm > 0):
            raise ValueError(f"total_norm {total_norm} and min_norm {min_norm}: use values above zero")
        total_weight = math.fsum(weights.values())
        self.shares = {name: total_norm * weight / total_weight for name, weight in weights.items()}
        self.weights = dict(weights)
        self.min_norm = min_norm
        self.enabled = enabled
        self.averages = nn.ModuleDict({name: _MovingAverage(decay) for name in weights})

    def forward(self, losses: Mapping[str, Tensor], output: Tensor) -> BalancedGradient:
        """Balance the gradients of scalar losses at `output` [B, C, T]; the graphs of the losses are kept.

        Args:
            losses: scalars by name, exactly the names of the weights, each a mean over the local batch.
            output: what the losses were computed from; requires a gradient, usually a leaf cut off the decoder.

        Raises:
            ValueError: for other names, or a loss that does not depend on `output`.
        """
        if losses.keys() != self.shares.keys():
            raise ValueError(
                f"losses {sorted(losses)}: give exactly {sorted(self.shares)}, which have weights"
            )
        num_items = output.shape[0]
        gradients = {name: _gradient(name, losses[name], output) * num_items for name in self.shares}
        with torch.no_grad():
            norms = _mean_norms(gradients, num_items)
            total = torch.zeros_like(output, dtype=torch.float32)
            balanced_norms = {}
            for name, share in self.shares.items():
                average = self.averages[name]
                assert isinstance(average, _MovingAverage)
                is_finite = torch.isfinite(norms[name])
                average.update(norms[name], is_finite)
                if self.enabled:
                    scale = share / average.mean().clamp_min(self.min_norm)
                else:  # a mean over the items of all ranks, once what comes out is averaged over the ranks
                    scale = torch.full_like(norms[name], self.weights[name] / (num_items * world_size()))
                total += torch.where(is_finite, gradients[name] * scale, 0.0)
                balanced_norms[name] = torch.where(is_finite, norms[name] * scale, 0.0)
            sum_of_norms = (
                torch.stack(list(balanced_norms.values())).sum().clamp_min(torch.finfo(torch.float32).tiny)
            )
            ratios = {name: norm / sum_of_norms for name, norm in balanced_norms.items()}
            return BalancedGradient(total * world_size(), norms, ratios)


class _MovingAverage(nn.Module):
    """Exponential moving average of a scalar, right from the first value: sum(decay^age * value) / sum(decay^age)."""

    weighted_sum: Tensor
    weight: Tensor

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("weighted_sum", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def update(self, value: Tensor, is_valid: Tensor) -> None:
        """Take in `value` [] where `is_valid` [] holds, else stay as it is."""
        self.weighted_sum.copy_(
            torch.where(is_valid, self.decay * self.weighted_sum + value, self.weighted_sum)
        )
        self.weight.copy_(torch.where(is_valid, self.decay * self.weight + 1.0, self.weight))

    def mean(self) -> Tensor:
        """The average [], 0 before the first value."""
        return self.weighted_sum / self.weight.clamp_min(1.0)


def _gradient(name: str, loss: Tensor, output: Tensor) -> Tensor:
    """The gradient [B, C, T] float32 of a scalar loss at `output`."""
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss, [output], retain_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"loss {name!r} does not depend on the output: compute it from the tensor given as output"
        )
    return gradient.float()


def _mean_norms(gradients: Mapping[str, Tensor], num_items: int) -> dict[str, Tensor]:
    """Per loss, the mean [] over the items of all ranks of an item's norm; one collective for all losses."""
    sums = [torch.linalg.vector_norm(gradient.flatten(1), dim=1).sum() for gradient in gradients.values()]
    sums.append(torch.full_like(sums[0], num_items))
    totals = all_reduce_sum_(torch.stack(sums))
    return dict(zip(gradients, (totals[:-1] / totals[-1]).unbind(), strict=True))
