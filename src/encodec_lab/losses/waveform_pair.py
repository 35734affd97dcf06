"""The checks that every loss makes of its two waveforms."""

from torch import Tensor


def check_pair(real: Tensor, fake: Tensor, min_length_samples: int = 1) -> None:
    """ValueError unless both [B, C, T] are of one shape and, to reflect for the longest window, long enough."""
    if real.shape != fake.shape:
        raise ValueError(f"waveforms of shapes {tuple(real.shape)} and {tuple(fake.shape)}: give one shape")
    if real.shape[-1] < min_length_samples:
        raise ValueError(
            f"audio of {real.shape[-1]} samples is too short to reflect for the longest window: "
            f"give at least {min_length_samples}"
        )


def float_rows(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float32 rows [B*C, T]; `real` as a constant."""
    return real.detach().float().flatten(0, -2), fake.float().flatten(0, -2)
