"""What the speed of entropy coding is measured on does what it says."""

from types import ModuleType

import numpy as np
import pytest
import torch
from small_codec import random_wav

from encodec_lab.evaluation.speed import measure_round_trips
from encodec_lab.evaluation.speed_lm import (
    compression,
    entropy_coding,
    reference_round_trips,
    with_random_lm,
)
from encodec_lab.models.encodec import EncodecModel


@pytest.mark.slow
def test_round_trips_give_back_what_went_in(reference_package: ModuleType) -> None:
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    model.set_target_bandwidth(1.5)
    wav = random_wav(1, 6_400)  # 20 frames
    lm = with_random_lm(model, wav)
    codes = model.encode(wav[None])[0].codes[0].numpy()
    coding = entropy_coding(model, wav, record_s=0.1)
    decoded = coding.decode(coding.encode())
    assert len(decoded) == 3
    assert np.array_equal(np.concatenate(decoded, axis=1), codes)
    ours = compression(model, wav)
    alone, whole = reference_round_trips(reference_package, model, lm, wav)
    assert ours.duration_s == alone.duration_s == whole.duration_s == 6_400 / 24_000
    restored, sample_rate_hz = whole.decode(whole.encode())
    assert sample_rate_hz == 24_000
    torch.testing.assert_close(ours.decode(ours.encode())[0], restored, atol=1e-5, rtol=0)
    assert alone.encode() == whole.encode()
    assert alone.decode(alone.encode())[0].numel() == 0
    (factors,) = measure_round_trips([coding], num_repeats=1)
    assert factors.encode > 0
    assert factors.decode > 0
