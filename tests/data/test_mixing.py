from collections import Counter

import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.equalizer import RandomEqualizer
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.mixing import Mixing, Strategy, StrategyDraw
from encodec_lab.data.reverb import RandomReverb
from encodec_lab.data.speed import RandomSpeed

RATE_HZ = 24_000
STRATEGIES = {
    "music": Strategy(0.32, 1, ["music"], [], reverb=False),
    "other": Strategy(0.32, 1, None, ["music"], reverb=True),
    "two": Strategy(0.24, 2, None, [], reverb=True),
    "three": Strategy(0.12, 3, None, ["music"], reverb=True),
}
# The frequency of each source's tone; a bin each for crops of 10 ms.
TONES_HZ = {"music": 1_000, "speech": 2_000, "sounds": 3_000}


def mixing(**changes):
    return Mixing(**({"strategies": STRATEGIES, "gain_db": [-10.0, 6.0], "max_redraws": 32} | changes))


def write_tone(path, frequency_hz, level, peak):
    """A tone at `level` for 4 s, and one sample at `peak` at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = level * np.sin(2 * np.pi * frequency_hz * np.arange(4 * RATE_HZ) / RATE_HZ)
    tone[-1] = peak
    soundfile.write(path, tone, RATE_HZ, subtype="FLOAT")


@pytest.fixture
def sources(tmp_path):
    """Three sources whose files have peaks that differ, and tones at 0.1 of them."""
    for peak, (kind, frequency_hz) in zip((0.2, 0.5, 0.8), TONES_HZ.items(), strict=True):
        write_tone(tmp_path / kind / "1.wav", frequency_hz, 0.1 * peak, peak)
    return load_sources(
        [
            {"path": tmp_path / kind, "weight": weight, "kind": kind}
            for kind, weight in (("music", 3), ("speech", 2), ("sounds", 1))
        ],
        0.0,
    )


def crops(sources, num_samples=240, seed=0, **augmentations):
    augmentations.setdefault("mixing", mixing())
    return CropDataset(sources, num_samples, RATE_HZ, 1, seed, None, 8, CropAugmentations(**augmentations))


def amplitudes(wav):
    spectrum = torch.fft.rfft(wav[0]).abs() * 2 / wav.shape[-1]
    return {kind: float(spectrum[hz // 100]) for kind, hz in TONES_HZ.items()}


def test_strategies_and_sources_are_drawn_by_their_probabilities(sources):
    draw, rng = StrategyDraw(mixing(), sources), np.random.default_rng(0)
    drawn = Counter(
        (tuple(sources), reverb) for _, sources, reverb in (draw.draw(rng) for _ in range(20_000))
    )
    expected = Counter({((0,), False): 0.32, ((1,), True): 0.32 * 2 / 3, ((2,), True): 0.32 / 3})
    shares = (3 / 6, 2 / 6, 1 / 6)
    expected |= {((one, two), True): 0.24 * shares[one] * shares[two] for one in range(3) for two in range(3)}
    without_music = {1: 2 / 3, 2: 1 / 3}
    for a, b, c in np.ndindex(2, 2, 2):
        triple = (1 + a, 1 + b, 1 + c)
        expected[triple, True] = 0.12 * np.prod([without_music[source] for source in triple])
    assert set(drawn) == set(expected)
    for how, probability in expected.items():
        assert drawn[how] / 20_000 == pytest.approx(probability, abs=0.012)


def test_recordings_are_normalised_by_file_and_have_gains_in_the_range(sources):
    data = crops(sources)
    found = {kind: [] for kind in TONES_HZ}
    num_sources = Counter()
    for index in range(3_000):
        wav = data.draw(index).wav
        if wav.abs().max() > 0.7:
            continue  # with the last sample of a file, or rejected for it
        heard = {kind: level for kind, level in amplitudes(wav).items() if level > 0.01}
        num_sources[len(heard)] += 1
        if len(heard) == 1:
            for kind, level in heard.items():
                found[kind].append(20 * np.log10(level / 0.1))
    for kind, gains_db in found.items():
        gains_db = np.array(gains_db)
        # Two or three recordings of one source add up, and may cancel each other.
        alone = gains_db[(gains_db > -10.01) & (gains_db < 6.01)]
        assert len(alone) > 0.75 * len(gains_db) > 100, kind
        assert (alone.min(), alone.max()) == pytest.approx((-10, 6), abs=0.8), kind
        assert alone.mean() == pytest.approx(-2, abs=1), kind
    # Pairs and triples of tones that differ: 11/18 of the pairs have two; of triples 2/3.
    assert num_sources[2] / 3_000 == pytest.approx(0.24 * 11 / 18 + 0.12 * 2 / 3, abs=0.03)


def test_mixtures_that_clip_are_rejected(tmp_path):
    write_tone(tmp_path / "loud.wav", 1_000, 0.5, 0.5)
    single = {"one": Strategy(1.0, 1, None, [], reverb=True)}
    sources = load_sources(tmp_path / "loud.wav", 0.0)

    def gains_db(max_redraws):
        data = crops(sources, mixing=mixing(strategies=single, max_redraws=max_redraws))
        return np.array([20 * np.log10(amplitudes(data.draw(index).wav)["music"]) for index in range(600)])

    # Its crops have a peak of 1, so that none passes with more than 0 dB; those below stay uniform.
    rejected = gains_db(32)
    assert rejected.min() > -10.01 and rejected.max() < 0.01
    assert (rejected.mean(), rejected.std()) == pytest.approx((-5, 10 / 12**0.5), abs=0.3)
    assert (rejected > -0.01).mean() < 0.02
    # Without another draw all that clip come out at a peak of 1: 6 dB of 16.
    assert (gains_db(0) > -0.01).mean() == pytest.approx(6 / 16, abs=0.05)


def test_two_and_three_recordings_are_added_up():
    rng = np.random.default_rng(0)
    parts = [torch.full((1, 4), level) for level in (0.1, 0.01, 0.001)]
    gains = 10 ** (np.random.default_rng(0).uniform(-10, 6, 3) / 20)
    expected = sum(part * float(gain) for part, gain in zip(parts, gains, strict=True))
    torch.testing.assert_close(mixing().add_up(parts, rng).wav, expected)


def test_reverb_is_left_out_where_the_strategy_says_so(sources):
    reverb = RandomReverb(1.0, [0.3, 1.3], [0.0, 12.0], RATE_HZ)
    plain, wet = crops(sources), crops(sources, crop=reverb)
    unchanged = [torch.equal(plain.draw(index).wav, wet.draw(index).wav) for index in range(300)]
    assert sum(unchanged) / 300 == pytest.approx(0.32, abs=0.07)
    music_alone = [index for index in range(300) if unchanged[index]]
    assert all(amplitudes(plain.draw(index).wav)["speech"] < 1e-3 for index in music_alone)


def test_a_crop_depends_on_seed_and_index_alone(sources):
    everything = {
        "speed": RandomSpeed(0.5, [0.9, 1.1]),
        "recording": RandomEqualizer(0.5, [-6, 6], 8, 60.0, RATE_HZ),
        "crop": RandomReverb(0.2, [0.3, 1.3], [0.0, 12.0], RATE_HZ),
    }
    first = [crops(sources, **everything).draw(index).wav for index in range(40)]
    again = crops(sources, **everything)
    assert all(torch.equal(again.draw(index).wav, first[index]) for index in reversed(range(40)))
    other = crops(sources, seed=1, **everything)
    assert not any(torch.equal(other.draw(index).wav, first[index]) for index in range(40))


def test_silent_files_and_bad_ones(write_nan, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    silent = crops(load_sources(tmp_path / "silent.wav", 0.0))
    assert all(float(silent.draw(index).wav.abs().max()) == 0 for index in range(20))
    # The crop that is drawn can be read, but not the rest of its file.
    bad = np.full(RATE_HZ, 0.1)
    bad[-1] = np.nan
    soundfile.write(tmp_path / "bad.wav", bad, RATE_HZ, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"32 reads failed.*bad\.wav.*NaN"):
        crops(load_sources(tmp_path / "bad.wav", 0.0)).draw(0)


def test_sources_without_kinds_are_taken_by_every_strategy(sources, tmp_path):
    plain = load_sources([tmp_path / "music", tmp_path / "speech"], 0.0)
    draw, rng = StrategyDraw(mixing(), plain), np.random.default_rng(0)
    assert {source for _ in range(100) for source in draw.draw(rng).sources} == {0, 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gain_db": [6, -10]}, "mixing.gain_db"),
        ({"max_redraws": -1}, "mixing.max_redraws .* -1"),
        ({"strategies": STRATEGIES | {"more": Strategy(0.1, 1, None, [], True)}}, "sum to 1, got 1.1"),
        ({"strategies": {"all": Strategy(1.0, 0, None, [], True)}}, "strategies.all .* 0"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        mixing(**change)


def test_a_strategy_without_sources_is_refused(sources):
    with pytest.raises(ValueError, match=r"strategies\.music \(kinds: music, .* no source .* sounds, speech"):
        StrategyDraw(mixing(), sources[1:])
