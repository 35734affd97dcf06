"""What keeps a run that goes wrong from going on unnoticed: steps skipped and counted, an end, a warning."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from encodec_lab.modules.distributed import rank

_log = logging.getLogger(__name__)


class DivergedError(ValueError):
    """Too many steps in a row could not be taken; the message says what to do."""


@dataclass(frozen=True)
class WinningDiscriminator:
    """When a discriminator has won, so that the codec learns nothing more from it.

    Attributes:
        loss: its hinge loss is below this
        num_updates: for so many updates in a row.
    """

    loss: float
    num_updates: int

    def __post_init__(self) -> None:
        if not self.loss > 0 or self.num_updates < 1:
            raise ValueError(
                f"winning_discriminator: loss must be positive and num_updates at least 1, got {self.loss} and "
                f"{self.num_updates}"
            )


class SafetyNet(nn.Module):
    """Counters on the device of the run, the same on all ranks; `check` alone waits for the device, and seldom.

    Args:
        networks: names of those that have an optimizer each, in the order of the optimizers.
        max_skipped_steps: a run ends when so many steps of one network in a row could not be taken.
        winning: when to report the discriminator; None never does.

    Raises:
        ValueError: a value is out of range.
    """

    in_a_row: Tensor
    total: Tensor
    won_in_a_row: Tensor

    def __init__(
        self, networks: Sequence[str], max_skipped_steps: int, winning: WinningDiscriminator | None
    ) -> None:
        super().__init__()
        if max_skipped_steps < 1:
            raise ValueError(f"max_skipped_steps must be at least 1, got {max_skipped_steps}")
        self.networks = list(networks)
        self.max_skipped_steps = max_skipped_steps
        self.winning = winning
        # Not part of the state dict, so that checkpoints written without them can still be resumed from.
        for name, shape in (("in_a_row", len(networks)), ("total", len(networks)), ("won_in_a_row", 1)):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.long), persistent=False)
        self.has_reported = False

    def step_or_skip(
        self, network: str, optimizer: LightningOptimizer | torch.optim.Optimizer, gradient_norm: Tensor
    ) -> None:
        """Take the optimizer's step if the gradients' total norm [] over all ranks is finite, else count it as skipped.

        A step that is skipped leaves weights and the optimizer's averages as they are; Lightning counts it.
        """
        is_finite = torch.isfinite(gradient_norm)
        place = self.networks.index(network)
        self.total[place] += ~is_finite
        self.in_a_row[place] = torch.where(is_finite, 0, self.in_a_row[place] + 1)
        raw: Any = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        if isinstance(raw, torch.optim.Adam) and raw.defaults["fused"]:
            # Its kernel then does without the step, and nobody waits for the device.
            vars(raw)["found_inf"] = (~is_finite).float()
        elif not is_finite:
            for group in raw.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None  # optimizers pass over such parameters
        optimizer.step()

    @torch.no_grad()
    def watch_discriminator(self, loss: Tensor) -> None:
        """Take note of the hinge loss [] of an update."""
        if self.winning is not None:
            self.won_in_a_row.copy_(torch.where(loss < self.winning.loss, self.won_in_a_row + 1, 0))

    def skipped(self, network: str) -> Tensor:
        """How many steps of a network have been skipped so far, [], as a float to be logged."""
        return self.total[self.networks.index(network)].float()

    def check(self, step: int) -> None:
        """Look at the counters after generator step `step`; on a GPU, which must be waited for, only now and then.

        Raises:
            DivergedError: too many steps in a row were skipped; on all ranks alike.
        """
        if self.total.device.type != "cpu" and step % self.max_skipped_steps:
            return
        for network, count in zip(self.networks, self.in_a_row.tolist(), strict=True):
            if count >= self.max_skipped_steps:
                raise DivergedError(
                    f"the gradients of the {network} were not finite at {count} steps in a row, up to step {step}; go "
                    "on from an earlier checkpoint with a lower learning rate, a longer warm-up "
                    "(schedule.warmup_steps) or trainer.precision=32-true, and see that the recordings hold finite "
                    "samples (max_skipped_steps sets how many steps are skipped at most)"
                )
        if self.winning and not self.has_reported and self.won_in_a_row.item() >= self.winning.num_updates:
            self.has_reported = True
            if rank() == 0:
                _log.warning(
                    "step %d: the discriminator has won, its loss has been below %g for %d updates in a row, and the "
                    "codec learns little from it; consider a lower discriminator_optimizer.lr or "
                    "codec_training.discriminator_probability",
                    step,
                    self.winning.loss,
                    self.winning.num_updates,
                )

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold, as plain values."""
        counters = {name: buffer.tolist() for name, buffer in self.named_buffers()}
        return {**counters, "networks": self.networks, "has_reported": self.has_reported}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave, if it is of the same networks."""
        if state["networks"] == self.networks:
            for name, buffer in self.named_buffers():
                buffer.copy_(torch.tensor(state[name]))
            self.has_reported = state["has_reported"]
