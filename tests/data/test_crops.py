import math
import random

import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.gain import RandomGain
from encodec_lab.data.manifest import load_sources


@pytest.fixture
def folder(write_noise, tmp_path):
    write_noise("set/1.flac", 3.0)
    write_noise("set/2.ogg", 2.0, 44_100, 2)
    write_noise("set/3.mp3", 2.0, 48_000)
    write_noise("set/short.wav", 0.3, 22_050)
    return tmp_path / "set"


GAIN = CropAugmentations(recording=RandomGain(-10, 6))


def dataset(spec, seed=0, num_samples=12_000, channels=1, **arguments):
    settings = {"silence_db": None, "max_redraws": 8, "augmentations": CropAugmentations()} | arguments
    return CropDataset(load_sources(spec, 0.5), num_samples, 24_000, channels, seed, **settings)


def test_a_crop_depends_on_seed_and_index_alone(folder):
    first = [dataset(folder).draw(i).wav for i in range(12)]
    again = dataset(folder)
    order = list(range(12))
    random.Random(1).shuffle(order)
    torch.manual_seed(123)
    np.random.seed(123)
    for i in order:
        assert torch.equal(again.draw(i).wav, first[i])
    assert not any(torch.equal(dataset(folder, seed=1).draw(i).wav, first[i]) for i in range(12))
    assert len({tuple(wav[0, :5].tolist()) for wav in first}) == 12
    assert all(wav.shape == (1, 12_000) for wav in first)


def test_streams_of_neighbouring_indices_do_not_overlap(folder):
    """A Philox counter advances as numbers are drawn: with counter=index, item i + 1 would repeat item i's numbers."""
    drawn = []

    def record(wav, rng):
        drawn.append(rng.random(64))
        return wav

    data = dataset(folder, augmentations=CropAugmentations(recording=record))
    for i in range(20):
        data.draw(i)
    assert len(np.unique(np.concatenate(drawn))) == 20 * 64


def test_stereo_and_short_files(folder):
    wav = dataset(folder / "short.wav", num_samples=24_000, channels=2).draw(0).wav
    whole = read_converted(folder / "short.wav", 24_000, 2)
    torch.testing.assert_close(wav[:, : whole.shape[-1]], whole)
    assert wav[:, whole.shape[-1] :].abs().max() == 0
    assert wav.shape == (2, 24_000)


def _constant(path, value, seconds, rate_hz=24_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * rate_hz), value), rate_hz, subtype="FLOAT")
    return path


def test_sources_by_weight_and_files_by_duration(tmp_path):
    _constant(tmp_path / "a/1.wav", 0.1, 1.0)
    _constant(tmp_path / "a/2.wav", 0.2, 3.0, 8_000)
    _constant(tmp_path / "b/3.wav", 0.3, 1.0)
    spec = [{"path": tmp_path / "a", "weight": 3}, {"path": tmp_path / "b", "weight": 1}]

    def shares(data):
        values = [round(float(data.draw(i).wav[0, 50]), 1) for i in range(2_000)]
        return [values.count(value) / 2_000 for value in (0.1, 0.2, 0.3)]

    assert shares(dataset(spec, num_samples=100)) == pytest.approx([3 / 16, 9 / 16, 1 / 4], abs=0.04)
    by_duration = dataset([tmp_path / "a", tmp_path / "b"], num_samples=100)
    assert shares(by_duration) == pytest.approx([0.2, 0.6, 0.2], abs=0.04)


def test_offsets_reach_every_sample(tmp_path):
    soundfile.write(tmp_path / "ramp.wav", np.arange(40) / 64, 24_000, subtype="FLOAT")
    data = dataset(tmp_path / "ramp.wav", num_samples=8)
    assert {round(float(data.draw(i).wav[0, 0]) * 64) for i in range(1_000)} == set(range(33))


def test_silence_is_drawn_again_within_bounds(write_noise, tmp_path):
    path = tmp_path / "half.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal(24_000).clip(-3, 3)
    soundfile.write(path, np.concatenate([np.zeros(72_000), noise]), 24_000, subtype="FLOAT")

    def num_silent(**arguments):
        data = dataset(path, num_samples=100, **arguments)
        return sum(float(data.draw(i).wav.abs().max()) < 1e-6 for i in range(100))

    assert num_silent() > 60
    assert num_silent(silence_db=-60.0, max_redraws=40) == 0
    assert 40 < num_silent(silence_db=-60.0, max_redraws=1) < num_silent(silence_db=-60.0, max_redraws=0)


def test_of_silent_crops_the_loudest_is_taken(tmp_path):
    soundfile.write(tmp_path / "ramp.wav", np.arange(4_000) / 4e8, 24_000, subtype="FLOAT")

    def loudness(max_redraws):
        data = dataset(tmp_path / "ramp.wav", num_samples=10, silence_db=-60.0, max_redraws=max_redraws)
        return float(np.mean([float(data.draw(i).wav.max()) for i in range(200)])) * 4e8

    assert loudness(0) == pytest.approx(2_000, rel=0.15)
    assert loudness(19) == pytest.approx(3_800, rel=0.05)


def test_digital_silence_alone_ends(tmp_path):
    assert dataset(_constant(tmp_path / "zero.wav", 0.0, 1.0), silence_db=-60.0).draw(0).wav.abs().max() == 0


def test_files_that_fail_while_reading_are_drawn_again(write_noise, write_nan, tmp_path):
    write_noise("set/good.wav")
    bad = write_nan("set/bad.wav")
    data = dataset(tmp_path / "set")
    drawn = [data.draw(i) for i in range(40)]
    assert all(torch.isfinite(crop.wav).all() and crop.wav.abs().max() > 0 for crop in drawn)
    named = {path for crop in drawn for path, message in crop.read_errors if "NaN" in message}
    assert named == {str(bad)}
    batch = data[range(40)]
    assert torch.equal(batch.wav, torch.stack([crop.wav for crop in drawn]))
    assert len(batch.read_errors) == sum(len(crop.read_errors) for crop in drawn) > 5


def test_a_source_with_nothing_readable_is_an_error(write_nan):
    data = dataset(write_nan("bad.wav"))
    with pytest.raises(ValueError, match=r"bad\.wav.*NaN"):
        data.draw(0)


def test_samples_that_overflow_are_not_trained_on(tmp_path):
    data = dataset([_constant(tmp_path / "huge.wav", 1e30, 1.0), _constant(tmp_path / "good.wav", 0.1, 1.0)])
    with pytest.raises(ValueError, match=r"huge\.wav.*too large"):
        [data.draw(i) for i in range(20)]


def test_augmentation_is_drawn_from_the_items_own_stream(folder):
    plain, scaled = dataset(folder), dataset(folder, augmentations=GAIN)
    gains = [float(scaled.draw(i).wav.norm() / plain.draw(i).wav.norm()) for i in range(20)]
    assert all(-10.01 <= 20 * math.log10(gain) <= 6.01 for gain in gains)
    assert len({round(gain, 4) for gain in gains}) == 20
    assert torch.equal(dataset(folder, augmentations=GAIN).draw(7).wav, scaled.draw(7).wav)
    assert max(float(scaled.draw(i).wav.abs().max()) for i in range(20)) <= 1


def test_impossible_arguments_are_refused(folder):
    for arguments in ({"num_samples": 0}, {"channels": 3}, {"seed": -1}, {"max_redraws": -1}):
        with pytest.raises(ValueError, match=str(next(iter(arguments.values())))):
            dataset(folder, **arguments)
