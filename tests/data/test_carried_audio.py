"""The carried clips as audio."""

import itertools

import pytest
import torch

from encodec_lab.data.carried_audio import carried_clips, carried_recording


def test_clips_come_as_asked_for() -> None:
    first, second = itertools.islice(carried_clips(16_000, 2), 2)
    for clip in (first, second):
        assert clip.shape[0] == 2
        assert 5 * 16_000 <= clip.shape[1] <= 20 * 16_000
    assert torch.equal(carried_recording(16_000, 2, 5.0), first[:, :80_000])
    num_samples = first.shape[1] + 1_600
    joined = carried_recording(16_000, 2, num_samples / 16_000)
    assert torch.equal(joined, torch.cat([first, second[:, :1_600]], dim=1))


def test_more_than_there_is() -> None:
    with pytest.raises(ValueError, match="more than the package carries"):
        carried_recording(8_000, 1, 10_000.0)
