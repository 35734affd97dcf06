import math

import numpy as np
import pytest
import torch

from encodec_lab.data.gain import RandomGain


def test_gains_lie_in_the_range_and_never_clip():
    rng = np.random.default_rng(0)
    wav = torch.tensor([[0.1, -0.5, 0.3]])
    gains_db = [20 * math.log10(float(RandomGain(-10, 6)(wav, rng)[0, 0]) / 0.1) for _ in range(300)]
    assert -10 <= min(gains_db) < -9
    assert 5.5 < max(gains_db) <= 6
    loud = torch.tensor([[0.9, -0.97, 0.3]])
    assert max(float(RandomGain(6, 6)(loud, rng).abs().max()) for _ in range(10)) <= 1
    torch.testing.assert_close(RandomGain(6, 6)(loud, rng), loud / 0.97)


def test_silence_stays_silence():
    assert RandomGain(0, 6)(torch.zeros(1, 4), np.random.default_rng(0)).abs().max() == 0


def test_impossible_ranges_are_refused():
    with pytest.raises(ValueError, match="3"):
        RandomGain(3, -3)
    with pytest.raises(ValueError, match="nan"):
        RandomGain(float("nan"), 3)
