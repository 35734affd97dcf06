"""The learning rate as a function of the generator's step; without state, so a resumed run needs nothing of it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WarmupCosineSchedule:
    """A factor on the learning rate: linear warm-up, then half a cosine down to `final_factor`.

    With `final_factor` 1 the rate stays constant after the warm-up, as in the paper.

    Attributes:
        warmup_steps: steps until the full rate is reached.
        total_steps: the step at which `final_factor` is reached.
        final_factor: in [0, 1].
    """

    warmup_steps: int
    total_steps: int
    final_factor: float

    def __post_init__(self) -> None:
        if self.total_steps < 1 and self.final_factor < 1:
            raise ValueError(
                f"for the rate to come down, total_steps must be at least 1, got {self.total_steps}: "
                "set trainer.max_steps"
            )

    def __call__(self, step: int) -> float:
        """The factor at generator step `step`, counted from 0."""
        warmup = min(1.0, (step + 1) / max(1, self.warmup_steps))
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
        return warmup * (self.final_factor + (1 - self.final_factor) * cosine)
