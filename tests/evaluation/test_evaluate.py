"""Evaluation rows come from the real bitstream, and say what could not be scored."""

import dataclasses
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.anchors import LowPassAnchor
from encodec_lab.evaluation.evaluate import Contender, Evaluation, Failure, evaluate, evaluate_codec
from encodec_lab.evaluation.row_store import RowStore
from encodec_lab.evaluation.scored_metrics import MEL_DISTANCE, SI_SNR, ScoredMetric
from encodec_lab.evaluation.transmission import CodecSystem, Transmitted
from encodec_lab.metrics import NotScored, mel_distance, si_snr
from encodec_lab.models.encodec import EncodecModel

FAST = (SI_SNR, MEL_DISTANCE)


def test_a_row_for_each_file_and_bandwidth(codec: EncodecModel, clips: list[Path]) -> None:
    rows = evaluate_codec(codec, clips, metrics=FAST)
    assert [(row.file, row.bandwidth_kbps) for row in rows] == [
        (str(path), kbps) for path in clips for kbps in (0.9, 1.8, 6.0)
    ]
    assert [row.domain for row in rows] == ["speech"] * 3 + ["music"] * 3
    assert [row.duration_s for row in rows] == [1.0] * 3 + [0.5] * 3
    assert {(row.system, row.sample_rate_hz) for row in rows} == {("small_24khz", 24_000)}


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
    with pytest.raises(ValueError, match="no system"):
        evaluate([], clips)


def _contenders(codec: EncodecModel) -> list[Contender]:
    anchor = Contender(LowPassAnchor(3500), 48_000, 2)
    return [Contender(CodecSystem(codec, [1.8, 6.0]), 24_000, 1), anchor]


def test_systems_meet_the_original_in_their_own_form(codec: EncodecModel, clips: list[Path]) -> None:
    result = evaluate(_contenders(codec), clips[1:], FAST)
    assert [(row.system, row.bandwidth_kbps, row.sample_rate_hz) for row in result.rows] == [
        ("small_24khz", 1.8, 24_000),
        ("small_24khz", 6.0, 24_000),
        ("low-pass 3.5 kHz", None, 48_000),
    ]
    wav = read_converted(clips[1], 48_000, 2)
    passed = LowPassAnchor(3500).transmit(wav, 48_000, None).wav
    assert result.rows[2].scores["si_snr_db"] == si_snr(wav, passed, 48_000)
    assert (result.failures, result.num_new) == ([], 3)


def test_processes_give_the_same_rows(codec: EncodecModel, clips: list[Path]) -> None:
    seen = []
    alone = evaluate(_contenders(codec), clips, FAST)
    shared = evaluate(
        _contenders(codec), clips, FAST, num_workers=1, on_progress=lambda *one: seen.append(one)
    )
    assert shared == alone
    assert [(num_done, num_all) for num_done, num_all, _ in seen] == [(num, 6) for num in range(1, 7)]
    assert {file for _, _, file in seen} == {str(clip) for clip in clips}


class _Counting(LowPassAnchor):
    num_calls = 0

    def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
        self.num_calls += 1
        return super().transmit(wav, sample_rate_hz, bandwidth_kbps)


def test_what_is_known_is_not_made_again(clips: list[Path], tmp_path: Path) -> None:
    def run(metrics: tuple[ScoredMetric, ...], name: str, cutoff_hz: int = 3500) -> tuple[Evaluation, int]:
        system = _Counting(cutoff_hz)
        system.name = name
        store = RowStore(tmp_path / "scores.jsonl")
        return evaluate([Contender(system, 24_000, 1)], clips, metrics, store), system.num_calls

    first, num_calls = run((SI_SNR,), "first")
    assert (num_calls, first.num_new) == (2, 2)
    # The same system under another name.
    again, num_calls = run((SI_SNR,), "again")
    assert (num_calls, again.num_new) == (0, 0)
    assert [dataclasses.replace(row, system="first") for row in again.rows] == first.rows
    more, num_calls = run(FAST, "first")
    assert num_calls == 2
    assert list(more.rows[0].scores) == ["si_snr_db", "mel_distance"]
    assert run((SI_SNR,), "first") == (dataclasses.replace(first, num_new=0), 0)
    assert run((SI_SNR,), "first", cutoff_hz=7000)[1] == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory: CUDA out of memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
            "not enough memory: DefaultCPUAllocator: can't allocate memory: 9 bytes",
        ),
        (soundfile.LibsndfileError(1), "Format not recognised."),
    ],
)
def test_what_is_too_large_or_damaged_costs_itself(clips: list[Path], error: Exception, reason: str) -> None:
    class Failing(LowPassAnchor):
        def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
            raise error

    contenders = [Contender(LowPassAnchor(7000), 24_000, 1), Contender(Failing(3500), 24_000, 1)]
    result = evaluate(contenders, clips[1:], (SI_SNR,))
    assert [row.system for row in result.rows] == ["low-pass 7 kHz"]
    assert result.failures == [Failure(str(clips[1]), "low-pass 3.5 kHz", reason)]


def test_files_that_fail_are_named_and_the_others_are_evaluated(
    codec: EncodecModel, clips: list[Path], tmp_path: Path
) -> None:
    class Failing(_Counting):
        def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
            raise OSError("the program failed")

    broken, missing = tmp_path / "broken.wav", tmp_path / "missing.wav"
    broken.write_text("no audio")
    contenders = [Contender(_Counting(7000), 24_000, 1), Contender(Failing(3500), 24_000, 1)]
    seen = []
    result = evaluate(
        contenders, [broken, missing, clips[0]], FAST, on_progress=lambda *one: seen.append(one)
    )
    assert seen == [(2, 4, str(broken)), (3, 4, str(clips[0])), (4, 4, str(clips[0]))]
    assert result.num_new == 1
    assert [(row.file, row.system) for row in result.rows] == [(str(clips[0]), "low-pass 7 kHz")]
    assert [(one.file, one.system) for one in result.failures] == [
        (str(missing), ""),
        (str(broken), ""),
        (str(clips[0]), "low-pass 3.5 kHz"),
    ]
    assert "cannot be read as audio" in result.failures[1].reason
    assert result.failures[2] == Failure(str(clips[0]), "low-pass 3.5 kHz", "the program failed")
    with pytest.raises(ValueError, match=r"none of 2 files could be evaluated; .*missing\.wav: No such file"):
        evaluate(contenders, [broken, missing], FAST)
