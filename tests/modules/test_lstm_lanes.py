"""Stretches of a sequence side by side against the sequence in order."""

import pytest
import torch
from torch import nn

from encodec_lab.modules import lstm_lanes
from encodec_lab.modules.lstm_lanes import WARM_UP_STEPS, LSTMState, num_lanes, run_in_lanes


def lstm() -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(6, 6, 2)


def state() -> LSTMState:
    return LSTMState(torch.randn(2, 1, 6).tanh(), torch.randn(2, 1, 6))


@torch.no_grad()
@pytest.mark.parametrize("num_steps", [2 * WARM_UP_STEPS, 300, 511, 512, 519, 2400])
def test_equals_going_in_order(num_steps):
    network, steps, start = lstm(), torch.randn(num_steps, 1, 6), state()
    expected, after = network(steps, start)
    output = run_in_lanes(network, steps, start)
    assert output.all_right
    torch.testing.assert_close(output.y, expected, atol=1e-5, rtol=0)
    for ours, theirs in zip(output.state, after, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_lanes_are_no_shorter_than_what_they_spend_on_their_guess():
    assert [num_lanes(n) for n in (0, 1, 127, 128, 511, 512, 10_000)] == [1, 1, 1, 2, 7, 8, 8]


@torch.no_grad()
def test_a_network_that_does_not_forget_is_computed_in_order():
    """Forget gates held open: a cell is the sum of all that it has seen."""
    network, steps, start = lstm(), torch.randn(700, 1, 6), state()
    for name, bias in network.named_parameters():
        if name.startswith("bias_ih"):
            bias[6:12] = 30.0
    expected, after = network(steps, start)
    output = run_in_lanes(network, steps, start)
    assert not output.all_right
    torch.testing.assert_close(output.y, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.state.cell, after[1], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_only_what_follows_a_wrong_guess_is_computed_again(monkeypatch):
    """One lane hears what it cannot forget in its warm-up's time: the lanes before it stand."""
    network, steps, start = lstm(), torch.randn(512, 1, 6), state()
    expected, _ = network(steps, start)
    calls = []
    monkeypatch.setattr(lstm_lanes, "_num_right", lambda *states: 3)
    original = network.forward

    def watched(x, *rest):
        calls.append(tuple(x.shape))
        return original(x, *rest)

    monkeypatch.setattr(network, "forward", watched)
    output = run_in_lanes(network, steps, start)
    assert not output.all_right
    assert calls == [(64, 7, 6), (64, 8, 6), (320, 1, 6)]
    torch.testing.assert_close(output.y, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_nan_is_never_right():
    network, steps, start = lstm(), torch.randn(512, 1, 6), state()
    steps[100] = torch.nan
    output = run_in_lanes(network, steps, start)
    assert not output.all_right and output.y[100:].isnan().all() and output.y[:100].isfinite().all()
