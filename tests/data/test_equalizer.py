import numpy as np
import pytest
import torch

from encodec_lab.data.equalizer import RandomEqualizer

RATE_HZ = 24_000


def equalizer(**changes):
    settings = {
        "probability": 1.0,
        "gain_db": [-6.0, 6.0],
        "num_bands": 6,
        "low_hz": 100.0,
        "sample_rate_hz": RATE_HZ,
    }
    return RandomEqualizer(**(settings | changes))


def response_db(step, seed, num_samples=RATE_HZ):
    """What it does to each frequency: of an impulse in the middle."""
    impulse = torch.zeros(1, num_samples, dtype=torch.float64)
    impulse[0, num_samples // 2] = 1
    heard = step(impulse, np.random.default_rng(seed))
    return 20 * torch.fft.rfft(heard[0]).abs().log10().numpy()  # a bin for each hertz


def test_bands_have_the_gains_that_were_drawn():
    step = equalizer()
    centres_hz = np.geomspace(100, 12_000, 6).round().astype(int)
    for seed in range(20):
        gains_db = np.random.default_rng(seed).uniform(-6, 6, 6)
        response = response_db(step, seed)
        np.testing.assert_allclose(response[centres_hz], gains_db, atol=0.1)
        np.testing.assert_allclose(response[[20, 50]], gains_db[[0, 0]], atol=0.1)
        # Smooth: between neighbours it goes from one to the other without passing either.
        for low, high, first, second in zip(
            centres_hz[:-1], centres_hz[1:], gains_db[:-1], gains_db[1:], strict=True
        ):
            between = response[low : high + 1]
            assert min(first, second) - 0.1 < between.min() <= between.max() < max(first, second) + 0.1


def test_gains_are_uniform_in_their_range():
    levels = np.concatenate(
        [response_db(equalizer(gain_db=[-9, 3]), seed)[[100, 12_000]] for seed in range(400)]
    )
    assert (levels.min(), levels.max()) == pytest.approx((-9, 3), abs=0.2)
    assert (levels.mean(), levels.std()) == pytest.approx((-3, 12 / 12**0.5), abs=0.25)


def test_the_end_does_not_run_into_the_beginning():
    wav = torch.zeros(1, RATE_HZ)
    wav[0, -1_200:] = 1
    heard = equalizer(gain_db=[-12, 12])(wav, np.random.default_rng(1))
    assert heard[0, :12_000].abs().max() < 1e-3
    assert heard.shape == wav.shape and heard.dtype == torch.float32


def test_it_takes_place_as_often_as_asked_for():
    rng = np.random.default_rng(0)
    wav = 0.1 * torch.randn(2, 400, generator=torch.Generator().manual_seed(0))
    changed = [not torch.equal(equalizer(probability=0.3)(wav, rng), wav) for _ in range(2_000)]
    assert sum(changed) / len(changed) == pytest.approx(0.3, abs=0.04)
    untouched = np.random.default_rng(0)
    assert torch.equal(equalizer(probability=0.0)(wav, untouched), wav)
    assert untouched.random() == np.random.default_rng(0).random()


def test_both_channels_are_changed_alike():
    one = torch.randn(1, 5_000, generator=torch.Generator().manual_seed(0))
    heard = equalizer()(one.repeat(2, 1), np.random.default_rng(2))
    assert torch.equal(heard[0], heard[1])
    assert (heard[0] - one[0]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probability": -0.1}, "equalizer.probability .* -0.1"),
        ({"gain_db": [6, -6]}, "equalizer.gain_db"),
        ({"num_bands": 1}, "num_bands .* 1"),
        ({"low_hz": 12_000}, "12000 .* 12000"),
        ({"low_hz": 0}, "low_hz .* 0"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        equalizer(**change)
