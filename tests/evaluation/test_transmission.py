"""What is transmitted went through the bitstream."""

import dataclasses
from pathlib import Path

import pytest
import torch
from small_codec import SMALL_24KHZ, random_codec, random_wav
from small_lm import random_integer_lm

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.evaluation.transmission import CodecSystem, transmit
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import write_export
from encodec_lab.models.registry import load_model


def test_audio_and_rate_are_those_of_the_stream(codec: EncodecModel) -> None:
    wav = random_wav(1, 12_000)
    result = transmit(codec, wav, 1.8)
    codec.set_target_bandwidth(1.8)
    data = compress(codec, wav)
    assert torch.equal(result.wav, decompress(data, model=codec)[0])
    assert (result.system, result.bandwidth_kbps) == ("small_24khz", 1.8)
    assert result.true_kbps == pytest.approx(len(data) * 8 / 500, abs=1e-9)


def test_the_bandwidth_in_use_is_left_as_it_was(codec: EncodecModel) -> None:
    codec.set_target_bandwidth(0.9)
    transmit(codec, random_wav(1, 1_000), 6.0)
    assert codec.bandwidth == 0.9


def test_a_language_model_changes_the_rate_and_not_the_audio(tmp_path: Path) -> None:
    write_export(tmp_path, random_codec(SMALL_24KHZ), {}, "", lm=random_integer_lm(SMALL_24KHZ))
    model, wav = load_model(tmp_path), random_wav(1, 4_800)
    plain, coded = CodecSystem(model), CodecSystem(model, use_lm=True)
    assert coded.name == "small_24khz + LM"
    assert coded.identity != plain.identity
    first, second = (system.transmit(wav, 24_000, 0.9) for system in (plain, coded))
    assert torch.equal(first.wav, second.wav)
    model.set_target_bandwidth(0.9)
    assert second.true_kbps == pytest.approx(len(compress(model, wav, use_lm=True)) * 8 / 200)
    assert first.true_kbps != second.true_kbps


def test_identity_tells_weights_and_configuration_and_name(codec: EncodecModel) -> None:
    known = CodecSystem(codec).identity
    # What it is called here says nothing of what it does.
    assert CodecSystem(codec, name="codec").identity == known
    assert CodecSystem(random_codec(SMALL_24KHZ, seed=1)).identity != known
    assert CodecSystem(random_codec(dataclasses.replace(SMALL_24KHZ, normalize=True))).identity != known
    assert CodecSystem(random_codec(dataclasses.replace(SMALL_24KHZ, name="other"))).identity != known


def test_impossible_requests(codec: EncodecModel) -> None:
    with pytest.raises(ValueError, match=r"7\.0 kbps"):
        CodecSystem(codec, [6.0, 7.0])
    with pytest.raises(ValueError, match="24000 Hz at a bandwidth"):
        CodecSystem(codec).transmit(random_wav(1, 1_000), 48_000, 6.0)
    with pytest.raises(ValueError, match="language model"):
        CodecSystem(codec, use_lm=True)
