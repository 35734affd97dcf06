"""An LSTM over one long sequence, several stretches of it side by side, with the result of going through it in order.

Each step of an LSTM reads all its weights, which takes longer than computing with them unless several sequences share
them. Within one sequence the stretches ("lanes") can do so if the state at the start of each is known. It is guessed:
an LSTM forgets, so that from any state it comes to the same one after a while. Every guess is then compared with the
state in which the stretch before it ended, and what followed a wrong one is computed again, in order.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Measured on one core: a step of a lane takes 110 us with 1 lane, 55 with 4, 39 with 8, 37 with 16.
MAX_LANES = 8
# Trained and random networks came to the same state, but for rounding, in 25 to 75 steps.
WARM_UP_STEPS = 64
# How far states may lie apart, by the largest among the values: some times what rounding does to them.
_TOLERANCE = 1e-6


class LSTMState(NamedTuple):
    """The state of a stack of LSTM layers.

    Attributes:
        hidden: [num_layers, B, D].
        cell: [num_layers, B, D].
    """

    hidden: Tensor
    cell: Tensor


class LanesOutput(NamedTuple):
    """What `run_in_lanes` gives.

    Attributes:
        y: [L, 1, D].
        state: at the end.
        all_right: whether every guess was.
    """

    y: Tensor
    state: LSTMState
    all_right: bool


def num_lanes(num_steps: int) -> int:
    """How many lanes are worth while for a sequence; 1 if it is too short."""
    return max(1, min(MAX_LANES, num_steps // WARM_UP_STEPS))


def run_in_lanes(lstm: nn.LSTM, steps: Tensor, state: LSTMState) -> LanesOutput:
    """`lstm(steps, state)` of one sequence [L, 1, D], in `num_lanes(L)` lanes, 2 or more."""
    lanes = num_lanes(steps.shape[0])
    assert lanes > 1 and steps.shape[1] == 1
    length = steps.shape[0] // lanes
    sequence = steps[:, 0]
    before = torch.stack(
        [sequence[lane * length - WARM_UP_STEPS : lane * length] for lane in range(1, lanes)], dim=1
    )
    _, guessed = lstm(before)
    start = LSTMState(
        *(torch.cat([known, guess], dim=1) for known, guess in zip(state, guessed, strict=True))
    )
    y, ended = lstm(sequence[: lanes * length].view(lanes, length, -1).transpose(0, 1), start)
    num_right = _num_right(start, LSTMState(*ended))
    done = [y[:, lane, None] for lane in range(num_right)]
    state = LSTMState(*(part[:, num_right - 1, None].contiguous() for part in ended))
    if num_right * length < steps.shape[0]:
        rest, after = lstm(steps[num_right * length :], state)
        done.append(rest)
        state = LSTMState(*after)
    return LanesOutput(torch.cat(done), state, num_right == lanes)


def _num_right(start: LSTMState, ended: LSTMState) -> int:
    """How many lanes, from the first on, started in the state in which the lane before them ended."""
    right = torch.stack(
        [_is_same(guess[:, 1:], truth[:, :-1]) for guess, truth in zip(start, ended, strict=True)]
    )
    return 1 + int(right.all(0).cumprod(0).sum())


def _is_same(guess: Tensor, truth: Tensor) -> Tensor:
    """For each item of [num_layers, B, D] whether the values agree but for rounding; NaN never does."""
    distance = (guess - truth).abs().amax((0, 2))
    return distance <= _TOLERANCE * truth.abs().amax((0, 2)).clamp(min=1.0)
