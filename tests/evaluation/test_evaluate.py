"""Evaluation rows come from the real bitstream, and say what could not be scored."""

import dataclasses
from pathlib import Path

import pytest
from torch import Tensor

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.evaluate import evaluate_codec
from encodec_lab.evaluation.scored_metrics import MEL_DISTANCE, SI_SNR, ScoredMetric
from encodec_lab.metrics import NotScored, mel_distance, si_snr
from encodec_lab.models.encodec import EncodecModel

FAST = (SI_SNR, MEL_DISTANCE)


def test_a_row_for_each_file_and_bandwidth(codec: EncodecModel, clips: list[Path]) -> None:
    seen = []
    rows = evaluate_codec(codec, clips, metrics=FAST, on_row=seen.append)
    assert [(row.file, row.bandwidth_kbps) for row in rows] == [
        (str(path), kbps) for path in clips for kbps in (0.9, 1.8, 6.0)
    ]
    assert [row.domain for row in rows] == ["speech"] * 3 + ["music"] * 3
    assert [row.duration_s for row in rows] == [1.0] * 3 + [0.5] * 3
    assert seen == rows


def test_scores_and_rate_are_those_of_the_bitstream(codec: EncodecModel, clips: list[Path]) -> None:
    (row,) = evaluate_codec(codec, clips[:1], bandwidths=[1.8], metrics=FAST)
    wav = read_converted(clips[0], 24_000, 1)
    codec.set_target_bandwidth(1.8)
    data = compress(codec, wav)
    decoded, rate_hz = decompress(data, model=codec)
    assert row.true_kbps == pytest.approx(len(data) * 8 / 1000, abs=1e-9)
    assert row.scores == {
        "si_snr_db": si_snr(wav, decoded, rate_hz),
        "mel_distance": mel_distance(wav, decoded, rate_hz),
    }
    assert row.not_scored == {}


def test_what_a_metric_cannot_score_is_named(codec: EncodecModel, clips: list[Path]) -> None:
    def refuses(reference: Tensor, degraded: Tensor, sample_rate_hz: int) -> float:
        raise NotScored("no reason at all")

    picky = dataclasses.replace(SI_SNR, name="picky", function=refuses)
    (row,) = evaluate_codec(codec, clips[1:], bandwidths=[6.0], metrics=(MEL_DISTANCE, picky))
    assert list(row.scores) == ["mel_distance"]
    assert row.not_scored == {"picky": "no reason at all"}


def test_other_errors_of_a_metric_are_not_swallowed(codec: EncodecModel, clips: list[Path]) -> None:
    def breaks(reference: Tensor, degraded: Tensor, sample_rate_hz: int) -> float:
        raise RuntimeError("broken")

    broken: ScoredMetric = dataclasses.replace(SI_SNR, function=breaks)
    with pytest.raises(RuntimeError, match="broken"):
        evaluate_codec(codec, clips[1:], bandwidths=[6.0], metrics=(broken,))


def test_impossible_requests_come_before_any_work(codec: EncodecModel, clips: list[Path]) -> None:
    with pytest.raises(ValueError, match="no file"):
        evaluate_codec(codec, [])
    with pytest.raises(ValueError, match=r"7\.0 kbps"):
        evaluate_codec(codec, ["missing.wav"], bandwidths=[6.0, 7.0])
    with pytest.raises(ValueError, match=r"missing\.wav"):
        evaluate_codec(codec, ["missing.wav"])
