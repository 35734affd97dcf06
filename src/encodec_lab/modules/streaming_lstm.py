"""The LSTM of SEANet piece by piece: a layer as in `streaming`."""

import copy

import torch
from torch import Tensor

from encodec_lab.modules.lstm import SkipLSTM
from encodec_lab.modules.lstm_lanes import LSTMState, num_lanes, run_in_lanes

# oneDNN lays the weights of an LSTM out anew at every call, which takes as long as some five steps.
_FEW_STEPS = 4


class StreamingSkipLSTM:
    """`SkipLSTM`; a few steps at a time are taken one by one, long pieces of one sequence in lanes.

    What is kept is the state, and whether the network has been seen to remember too long for lanes.
    """

    def __init__(self, offline: SkipLSTM) -> None:
        self._lstm = offline.lstm
        self._state: LSTMState | None = None
        self._forgets = True

    def fresh(self) -> "StreamingSkipLSTM":
        """The same layer at the start of another stream."""
        other = copy.copy(self)
        other._state, other._forgets = None, True
        return other

    def __call__(self, x: Tensor, is_last: bool) -> Tensor:
        if x.shape[1] == 0:
            return x
        steps = x.transpose(0, 1)  # [L, B, D]
        if self._state is None:
            zeros = x.new_zeros(self._lstm.num_layers, x.shape[0], self._lstm.hidden_size)
            self._state = LSTMState(zeros, zeros)
        if steps.shape[0] <= _FEW_STEPS and not x.is_cuda:
            y = self._step_by_step(steps, self._state)
        elif self._forgets and x.is_cpu and x.shape[0] == 1 and num_lanes(steps.shape[0]) > 1:
            y, self._state, self._forgets = run_in_lanes(self._lstm, steps, self._state)
        else:
            y, state = self._lstm(steps, self._state)
            self._state = LSTMState(*state)
        return (y + steps).transpose(0, 1).contiguous()

    def _step_by_step(self, steps: Tensor, past: LSTMState) -> Tensor:
        inputs = steps.unbind()
        states = []
        for state, weights in zip(zip(*past, strict=True), self._lstm.all_weights, strict=True):
            outputs = []
            for step in inputs:
                state = torch.lstm_cell(step, state, *weights)
                outputs.append(state[0])
            inputs = tuple(outputs)
            states.append(state)
        self._state = LSTMState(
            torch.stack([hidden for hidden, _ in states]),
            torch.stack([cell for _, cell in states]),
        )
        return torch.stack(inputs)
