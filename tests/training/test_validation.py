import math

import pytest
import torch
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav

from encodec_lab.metrics import mel_distance, si_snr
from encodec_lab.training.validation import BandwidthScores, ValidationClip, reconstruct_at_every_bandwidth


@pytest.mark.parametrize("config", [SMALL_24KHZ, SMALL_48KHZ], ids=lambda config: config.name)
def test_equals_encoding_at_each_bandwidth(config):
    codec = random_codec(config)
    num_samples = round(1.1 * config.sample_rate_hz)  # at 48 kHz more than a segment
    wav = random_wav(config.channels, num_samples)[None]
    clip = reconstruct_at_every_bandwidth(codec, wav, "some/clip")
    assert (clip.name, clip.sample_rate_hz) == ("some/clip", config.sample_rate_hz)
    assert torch.equal(clip.original, wav[0])
    assert list(clip.reconstructions) == list(config.bandwidths)
    for kbps, actual in clip.reconstructions.items():
        codec.set_target_bandwidth(kbps)
        with torch.no_grad():
            assert torch.equal(actual, codec(wav)[0])
    assert not torch.equal(*(clip.reconstructions[kbps] for kbps in config.bandwidths[:2]))


def clip_of(noise_level: float, seed: int) -> ValidationClip:
    original = random_wav(1, 4_000, seed)
    noise = random_wav(1, 4_000, seed + 100)
    reconstructions = {kbps: original + noise_level / kbps * noise for kbps in (1.5, 6.0)}
    return ValidationClip(f"clip{seed}", 24_000, original, reconstructions)


def test_scores_are_means_over_clips():
    scores = BandwidthScores([1.5, 6.0])
    clips = [clip_of(1.0, 0), clip_of(0.3, 1)]
    for clip in clips:
        scores.add(clip)
    means = scores.pop_means(torch.device("cpu"))
    expected = {"valid/not_scored": 0.0}
    for kbps, text in ((1.5, "1.5kbps"), (6.0, "6kbps")):
        for name, metric in (("si_snr_db", si_snr), ("mel_distance", mel_distance)):
            values = [metric(clip.original, clip.reconstructions[kbps], 24_000) for clip in clips]
            expected[f"valid/{name}/{text}"] = sum(values) / 2
    assert means == pytest.approx(expected)
    assert means["valid/si_snr_db/6kbps"] > means["valid/si_snr_db/1.5kbps"]
    assert scores.pop_means(torch.device("cpu")) == {"valid/not_scored": 0.0}


def test_clips_that_cannot_be_scored_are_counted():
    scores = BandwidthScores([6.0])
    silence = torch.zeros(1, 4_000)
    scores.add(ValidationClip("silence", 24_000, silence, {6.0: silence}))
    good = clip_of(0.1, 0)
    scores.add(good)
    means = scores.pop_means(torch.device("cpu"))
    assert means["valid/not_scored"] == 1
    assert means["valid/si_snr_db/6kbps"] == pytest.approx(
        si_snr(good.original, good.reconstructions[6.0], 24_000)
    )
    # The mel distance scores silence.
    expected = mel_distance(good.original, good.reconstructions[6.0], 24_000) / 2
    assert means["valid/mel_distance/6kbps"] == pytest.approx(expected)


def test_a_metric_without_any_score_is_left_out():
    scores = BandwidthScores([6.0])
    silence = torch.zeros(1, 4_000)
    scores.add(ValidationClip("silence", 24_000, silence, {6.0: silence}))
    means = scores.pop_means(torch.device("cpu"))
    assert "valid/si_snr_db/6kbps" not in means
    assert all(math.isfinite(value) for value in means.values())
