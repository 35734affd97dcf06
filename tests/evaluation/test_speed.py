"""The speed measurement counts seconds of audio per second of work."""

import time

import pytest
import torch

from encodec_lab.evaluation.speed import measure_in_turns
from encodec_lab.models.encodec import EncodecModel


def test_factors_are_audio_over_work(codec: EncodecModel, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = EncodecModel.encode

    def slow_encode(model: EncodecModel, wav: torch.Tensor) -> object:
        time.sleep(0.05)
        return encode(model, wav)

    monkeypatch.setattr(EncodecModel, "encode", slow_encode)
    (factors,) = measure_in_turns([codec], duration_s=0.5, num_repeats=2)
    assert 0 < factors.encode < 10
    assert factors.decode > factors.encode
