import numpy as np
import pytest
import torch

from encodec_lab.data.reverb import RandomReverb, room_response

RATE_HZ = 24_000


def reverb(**changes):
    settings = {
        "probability": 1.0,
        "rt60_s": [0.3, 1.3],
        "direct_to_reverberant_db": [0.0, 12.0],
        "sample_rate_hz": RATE_HZ,
    }
    return RandomReverb(**(settings | changes))


def measured_rt60_s(tail):
    """By Schroeder's backward integration, from the slope between -5 and -35 dB (T30 of ISO 3382)."""
    remaining_db = 10 * np.log10(np.cumsum((tail**2)[::-1])[::-1] / (tail**2).sum())
    first, last = (int(np.argmax(remaining_db <= level)) for level in (-5, -35))
    slope, _ = np.polyfit(np.arange(first, last) / RATE_HZ, remaining_db[first:last], 1)
    return -60 / slope


@pytest.mark.parametrize("rt60_s", [0.3, 0.7, 1.3])
def test_the_tail_dies_away_in_the_time_that_was_asked_for(rt60_s):
    rng = np.random.default_rng(0)
    responses = [room_response(rt60_s, 6.0, RATE_HZ, 1, rng)[0] for _ in range(20)]
    measured = [measured_rt60_s(response[1:]) for response in responses]
    assert measured == pytest.approx([rt60_s] * 20, rel=0.08)
    assert np.mean(measured) == pytest.approx(rt60_s, rel=0.02)


def test_direct_sound_and_energy():
    response = room_response(0.5, 6.0, RATE_HZ, 2, np.random.default_rng(0))
    assert response.shape == (2, 12_001)
    assert (response**2).sum(axis=1) == pytest.approx(1)
    direct = response[:, 0] ** 2
    assert 10 * np.log10(direct / (1 - direct)) == pytest.approx(6)
    correlation = float(response[0, 1:] @ response[1, 1:] / (1 - direct[0]))
    assert abs(correlation) < 0.1


def test_decay_times_are_uniform_in_their_range():
    impulse = torch.zeros(1, 2 * RATE_HZ, dtype=torch.float64)
    impulse[0, 0] = 1
    step, rng = reverb(), np.random.default_rng(0)
    measured = [measured_rt60_s(step(impulse, rng)[0, 1:].numpy()) for _ in range(150)]
    assert min(measured) == pytest.approx(0.3, abs=0.06)
    assert max(measured) == pytest.approx(1.3, abs=0.12)
    assert np.mean(measured) == pytest.approx(0.8, abs=0.08)
    assert np.std(measured) == pytest.approx(1 / 12**0.5, abs=0.04)


def test_it_is_the_convolution_with_a_room_at_about_the_same_level():
    wav = 0.1 * torch.randn(2, RATE_HZ, generator=torch.Generator().manual_seed(0))
    heard = reverb(rt60_s=[0.4, 0.4], direct_to_reverberant_db=[3, 3])(wav, np.random.default_rng(3))
    assert heard.shape == wav.shape and heard.dtype == torch.float32
    rng = np.random.default_rng(3)
    rng.random(2)  # the decay time and the ratio
    response = room_response(0.4, 3.0, RATE_HZ, 2, rng)
    expected = [np.convolve(*pair)[:RATE_HZ] for pair in zip(wav.double().numpy(), response, strict=True)]
    np.testing.assert_allclose(heard.numpy(), expected, atol=1e-5)
    assert float(heard[:, 12_000:].std()) == pytest.approx(0.1, rel=0.1)


def test_nothing_clips():
    wav = torch.ones(1, RATE_HZ)
    assert max(float(reverb()(wav, np.random.default_rng(seed)).abs().max()) for seed in range(5)) <= 1


def test_it_takes_place_as_often_as_asked_for():
    rng = np.random.default_rng(0)
    wav = 0.1 * torch.ones(1, 64)
    changed = [not torch.equal(reverb(probability=0.2)(wav, rng), wav) for _ in range(1_000)]
    assert sum(changed) / len(changed) == pytest.approx(0.2, abs=0.04)
    untouched = np.random.default_rng(0)
    assert torch.equal(reverb(probability=0.0)(wav, untouched), wav)
    assert untouched.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probability": 2}, "reverb.probability .* 2"),
        ({"rt60_s": [1.3, 0.3]}, "reverb.rt60_s"),
        ({"rt60_s": [0.0, 0.3]}, "above 0 s"),
        ({"direct_to_reverberant_db": [float("nan"), 3]}, "nan"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        reverb(**change)
