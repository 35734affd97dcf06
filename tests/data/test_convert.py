import pytest
import torch

from encodec_lab.data.convert import convert_audio


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("target_channels", [1, 2])
@pytest.mark.parametrize("target_hz", [24_000, 16_000, 48_000])
def test_equals_the_reference(reference_package, channels, target_channels, target_hz):
    wav = torch.randn(channels, 4_801, generator=torch.Generator().manual_seed(0))
    ours = convert_audio(wav, 24_000, target_hz, target_channels)
    theirs = reference_package.utils.convert_audio(wav, 24_000, target_hz, target_channels)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert ours.shape == (target_channels, -(-4_801 * target_hz // 24_000))


def test_leading_dimensions_are_kept():
    wav = torch.randn(3, 2, 2, 1_000)
    mono = convert_audio(wav, 24_000, 12_000, 1)
    assert mono.shape == (3, 2, 1, 500)
    torch.testing.assert_close(mono[1, 0], convert_audio(wav[1, 0], 24_000, 12_000, 1))


def test_a_stereo_copy_can_be_written_to():
    wav = convert_audio(torch.zeros(1, 10), 24_000, 24_000, 2)
    wav[0] += 1
    assert wav[1].abs().max() == 0


@pytest.mark.parametrize(("channels", "target_channels"), [(3, 1), (1, 3), (2, 0), (6, 2), (3, 3)])
def test_other_channel_counts_are_refused(channels, target_channels):
    with pytest.raises(ValueError, match=f"{channels} channels to {target_channels}"):
        convert_audio(torch.zeros(channels, 10), 24_000, 24_000, target_channels)


def test_wrong_shapes_types_and_rates_are_refused():
    with pytest.raises(ValueError, match=r"\[10\]"):
        convert_audio(torch.zeros(10), 24_000, 24_000, 1)
    with pytest.raises(ValueError, match="int16"):
        convert_audio(torch.zeros(1, 10, dtype=torch.int16), 24_000, 24_000, 1)
    with pytest.raises(ValueError, match="0 Hz"):
        convert_audio(torch.zeros(1, 10), 0, 24_000, 1)
