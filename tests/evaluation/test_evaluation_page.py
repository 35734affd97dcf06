"""What a page tells of an evaluation, and what is there to listen to."""

import dataclasses
from pathlib import Path

import pytest
import torch
from small_codec import SMALL_48KHZ, random_codec
from torch import Tensor

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation import evaluation_page
from encodec_lab.evaluation.anchors import LowPassAnchor, low_pass
from encodec_lab.evaluation.evaluate import Contender, Evaluation, Failure, evaluate
from encodec_lab.evaluation.evaluation_page import describe_failures, make_example, model_facts, write_page
from encodec_lab.evaluation.scored_metrics import SI_SNR
from encodec_lab.evaluation.transmission import CodecSystem, Transmitted, transmit
from encodec_lab.models.encodec import EncodecModel


def test_facts_of_a_model(codec: EncodecModel) -> None:
    facts = model_facts(codec)
    assert facts["audio"] == "24 kHz mono, causal"
    assert facts["bandwidths"] == "0.9, 1.8, 6 kbps"
    assert facts["codebooks"] == "13 of 64 codes, 75 Hz"


def test_an_example_has_every_version_at_the_highest_rate(codec: EncodecModel, clips: list[Path]) -> None:
    stereo = random_codec(SMALL_48KHZ)
    contenders = [
        Contender(CodecSystem(codec, [6.0]), 24_000, 1),
        Contender(CodecSystem(stereo, [1.8]), 48_000, 2),
        Contender(LowPassAnchor(3500), 48_000, 2),
    ]
    example = make_example(contenders, clips[1])
    original = read_converted(clips[1], 48_000, 2)
    assert (example.name, example.domain, example.sample_rate_hz) == (clips[1].name, "music", 48_000)
    assert torch.equal(example.original, original)
    assert [(one.system, one.bandwidth_kbps) for one in example.decoded] == [
        ("small_24khz", 6.0),
        ("small_48khz", 1.8),
        ("low-pass 3.5 kHz", None),
    ]
    assert {one.wav.shape for one in example.decoded} == {original.shape}
    assert torch.equal(example.decoded[1].wav, transmit(stereo, original, 1.8).wav)
    assert torch.equal(example.decoded[2].wav, low_pass(original, 48_000, 3500))


def test_long_recordings_are_cut(carried_audio: Path) -> None:
    path = carried_audio / "test/speech/en_vctkp254_m_00.flac"
    example = make_example([Contender(LowPassAnchor(3500), 24_000, 1)], path)
    assert example.original.shape == example.decoded[0].wav.shape == (1, 8 * 24_000)


def test_what_failed_is_left_out_of_the_page(codec: EncodecModel, clips: list[Path], tmp_path: Path) -> None:
    class Failing(LowPassAnchor):
        def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
            raise OSError("the program failed")

    contenders = [
        Contender(CodecSystem(codec, [6.0]), 24_000, 1),
        Contender(Failing(3500), 24_000, 1),
        Contender(LowPassAnchor(7000), 24_000, 1),
    ]
    result = evaluate(contenders, clips[:1], (SI_SNR,))
    write_page(tmp_path / "page.html", "title", {}, result, contenders, [], (SI_SNR,))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "through low-pass 3.5 kHz: the program failed" in text
    example = make_example(contenders, clips[0], {("low-pass 7 kHz", None)})
    assert [one.system for one in example.decoded] == ["low-pass 7 kHz"]


def test_codes_are_counted_on_some_of_what_the_codec_was_evaluated_on(
    codec: EncodecModel, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[list[str]] = []
    monkeypatch.setattr(
        evaluation_page,
        "measure_codebook_usage",
        lambda _, files: counted.append([str(one) for one in files]),
    )
    contenders = [
        Contender(CodecSystem(codec, [6.0]), 24_000, 1),
        Contender(LowPassAnchor(3500), 24_000, 1),
    ]
    result = evaluate(contenders, clips[:1], (SI_SNR,))
    codec_row, anchor_row = result.rows
    many = [dataclasses.replace(codec_row, file=str(index)) for index in range(40)]
    for rows in ([codec_row, dataclasses.replace(anchor_row, file="x")], [codec_row, *many], [anchor_row]):
        write_page(tmp_path / "p.html", "", {}, Evaluation(rows, [], 0), contenders, [], (SI_SNR,))
    assert [len(files) for files in counted] == [1, 20]
    assert len(set(counted[1])) == 20
    assert counted[0][0] == counted[1][0] == str(clips[0])


@pytest.mark.parametrize(
    ("failures", "text"),
    [
        ([], ""),
        ([Failure("a", "", "bad")], "1 file, such as a: bad"),
        ([Failure("a", "opus", "bad"), Failure("a", "mp3", "x"), Failure("b", "", "x")],
         "2 files, such as a through opus: bad"),
    ],
)  # fmt: skip
def test_failures_in_words(failures: list[Failure], text: str) -> None:
    assert describe_failures(Evaluation([], failures, 0)) == text
