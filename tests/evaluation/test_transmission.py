"""What is transmitted went through the bitstream."""

import pytest
import torch
from small_codec import random_wav

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.evaluation.transmission import transmit
from encodec_lab.models.encodec import EncodecModel


def test_audio_and_rate_are_those_of_the_stream(codec: EncodecModel) -> None:
    wav = random_wav(1, 12_000)
    result = transmit(codec, wav, 1.8)
    codec.set_target_bandwidth(1.8)
    data = compress(codec, wav)
    assert torch.equal(result.wav, decompress(data, model=codec)[0])
    assert result.bandwidth_kbps == 1.8
    assert result.true_kbps == pytest.approx(len(data) * 8 / 500, abs=1e-9)


def test_the_bandwidth_in_use_is_left_as_it_was(codec: EncodecModel) -> None:
    codec.set_target_bandwidth(0.9)
    transmit(codec, random_wav(1, 1_000), 6.0)
    assert codec.bandwidth == 0.9
