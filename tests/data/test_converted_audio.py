import random

import pytest
import torch

from encodec_lab.data import converted_audio
from encodec_lab.data.audio_file import probe, read_whole
from encodec_lab.data.convert import convert_audio
from encodec_lab.data.converted_audio import converted_length, read_converted, read_converted_crop


def test_a_whole_file_is_resampled_and_mixed(write_noise):
    path = write_noise("noise.wav", 0.7, 44_100, 2)
    wav = read_converted(path, 24_000, 1)
    assert wav.shape == (1, 16_800)
    assert torch.equal(wav, convert_audio(*read_whole(path), 24_000, 1))


@pytest.mark.parametrize(
    "from_hz", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 44_101, 48_000, 96_000, 192_000]
)
@pytest.mark.parametrize("to_hz", [24_000, 48_000])
def test_a_resampled_crop_equals_that_of_the_whole_file(write_noise, from_hz, to_hz):
    info = probe(write_noise("noise.wav", 0.7, from_hz, 2))
    whole = convert_audio(*read_whole(info.path), to_hz, 1)
    length = converted_length(info, to_hz)
    assert length == whole.shape[-1]
    rng = random.Random(0)
    for offset in [
        0,
        1,
        79,
        length - 3_000,
        length - 10,
        *(rng.randrange(length - 3_000) for _ in range(20)),
    ]:
        crop = read_converted_crop(info, offset, 3_000, to_hz, 1)
        torch.testing.assert_close(crop, whole[:, offset : offset + 3_000], atol=1e-4, rtol=0)


@pytest.mark.parametrize("from_hz", [24_000, 44_100])
def test_no_more_is_read_than_the_crop_and_a_margin(write_noise, monkeypatch, from_hz):
    info = probe(write_noise("noise.flac", 5.0, from_hz))
    reads = []

    def counting_read_crop(path, offset, num_samples):
        reads.append(num_samples)
        return torch.zeros(1, num_samples)

    monkeypatch.setattr(converted_audio, "read_crop", counting_read_crop)
    read_converted_crop(info, 50_000, 2_400, 24_000, 1)
    assert from_hz / 10 <= reads[0] <= from_hz / 10 + (0 if from_hz == 24_000 else 400)
