import math
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.speed import RandomSpeed, rates_at_speed

TONE_HZ = 1_000


def test_factors_are_uniform_and_as_often_as_asked_for():
    rng = np.random.default_rng(0)
    speed = RandomSpeed(0.25, [0.9, 1.1])
    drawn = [speed.draw(rng) for _ in range(8_000)]
    changed = [factor for factor in drawn if factor != 1]
    # One step of the 41 is 1 itself.
    assert len(changed) / len(drawn) == pytest.approx(0.25 * 40 / 41, abs=0.02)
    assert (min(changed), max(changed)) == (Fraction(9, 10), Fraction(11, 10))
    assert len(set(changed)) == 40
    thirds = [sum(low <= factor < high for factor in changed) for low, high in [(0.9, 0.967), (1.0351, 1.2)]]
    assert thirds[0] / len(changed) == pytest.approx(1 / 3, abs=0.04)
    assert thirds[1] / len(changed) == pytest.approx(1 / 3, abs=0.04)


def test_one_that_is_off_draws_nothing():
    rng = np.random.default_rng(0)
    assert {RandomSpeed(0.0, [0.5, 2]).draw(rng) for _ in range(10)} == {Fraction(1)}
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(24_000, 24_000), (44_100, 24_000), (16_000, 48_000), (8_000, 24_000)]
)
def test_rates_have_the_ratio_and_small_tables(from_hz, to_hz):
    assert rates_at_speed(from_hz, to_hz, Fraction(1)) == (from_hz, to_hz)
    for step in {*range(160, 241)} - {200}:
        factor = Fraction(step, 200)
        numerator, denominator = rates_at_speed(from_hz, to_hz, factor)
        assert numerator / denominator == pytest.approx(float(from_hz * factor / to_hz), abs=1 / 400)
        assert denominator <= 200


@pytest.fixture
def tone(tmp_path):
    """A tone whose level rises steadily over 4 s, so that a place in the file can be told."""
    time_s = np.arange(4 * 44_100) / 44_100
    path = tmp_path / "set/tone.wav"
    path.parent.mkdir()
    soundfile.write(path, time_s / 4 * np.sin(2 * np.pi * TONE_HZ * time_s), 44_100, subtype="FLOAT")
    return path


def crops_at(path, speed, sample_rate_hz=24_000):
    return CropDataset(
        load_sources(path, 0.0), 24_000, sample_rate_hz, 1, 5, None, 8, CropAugmentations(speed=speed)
    )


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.0, 1.25])
def test_pitch_and_tempo_change_together_at_full_length(tone, factor):
    data = crops_at(tone, RandomSpeed(1.0, [factor, factor]))
    plain = crops_at(tone, None)
    for index in range(6):
        wav = data.draw(index).wav[0]
        assert wav.shape == (24_000,)
        spectrum = torch.fft.rfft(wav * torch.hann_window(24_000)).abs()
        assert int(spectrum.argmax()) == pytest.approx(TONE_HZ * factor, abs=1.5)
        # A second of output takes `factor` seconds of the file, whose level rises by 1/4 a second.
        starts, ends = (
            float(part.square().mean().sqrt()) * math.sqrt(2) for part in (wav[:2_400], wav[-2_400:])
        )
        assert ends - starts == pytest.approx(0.9 * factor / 4, rel=0.05)
        if factor == 1:
            assert torch.equal(wav, plain.draw(index).wav[0])


def test_other_workers_and_orders_give_the_same(tone):
    speed = RandomSpeed(0.5, [0.9, 1.1])
    first = [crops_at(tone, speed).draw(index).wav for index in range(8)]
    again = crops_at(tone, speed)
    assert all(torch.equal(again.draw(index).wav, first[index]) for index in reversed(range(8)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.5, [0.9, 1.1]), "speed.probability .* 1.5"),
        ((0.5, [1.1, 0.9]), "speed.factor"),
        ((0.5, [0.9]), "speed.factor"),
        ((0.5, [0.1, 1.0]), "0.25 and 4"),
        ((0.5, [1.001, 1.002]), "0.005"),
    ],
)
def test_impossible_settings_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        RandomSpeed(*arguments)
