"""Properties of the codec, on small random models."""

import dataclasses

import pytest
import torch
from torch import Tensor

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel

SMALL = {"num_filters": 2, "latent_dim": 8, "codebook_size": 64}
CAUSAL = dataclasses.replace(ENCODEC_24KHZ, bandwidths=(0.9, 1.8, 3.6), **SMALL)
STEREO = dataclasses.replace(ENCODEC_48KHZ, bandwidths=(1.8, 3.6), **SMALL)


def codec(config: CodecConfig) -> EncodecModel:
    torch.manual_seed(0)
    model = EncodecModel(config).eval()
    for codebook in model.quantizer.codebooks:
        codebook.start(torch.randn(64, 8) * 0.1, torch.ones(64), 64)
    return model


def noise(model: EncodecModel, batch_size: int, num_samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(batch_size, model.channels, num_samples, generator=generator)


@pytest.fixture(params=[CAUSAL, STEREO], ids=["causal", "stereo"])
def model(request) -> EncodecModel:
    return codec(request.param)


@torch.no_grad()
@pytest.mark.parametrize("num_samples", [1, 319, 320, 321, 5000, 47_520, 48_000, 48_001, 100_000])
def test_lengths(model, num_samples):
    wav = noise(model, 2, num_samples)
    frames = model.encode(wav)
    stride = model.segment_stride or num_samples
    assert len(frames) == -(-num_samples // stride)
    for index, frame in enumerate(frames):
        length = min(num_samples - index * stride, model.segment_length or num_samples)
        assert frame.codes.shape == (2, model.config.num_codebooks, -(-length // model.hop_length))
        assert frame.scale is None if not model.normalize else frame.scale.shape == (2, 1)
    assert 0 <= model.decode(frames).shape[-1] - num_samples < model.hop_length
    assert model(wav).shape == wav.shape


@torch.no_grad()
@pytest.mark.parametrize("num_samples", [47_680, 47_681, 47_840, 47_841, 2 * 47_520 + 200])
def test_segments_that_whole_frames_make_longer_than_the_last(num_samples):
    """Of these lengths the reference package can decode only the first and the fourth."""
    model = codec(STEREO)
    assert model(noise(model, 1, num_samples)).shape == (1, 2, num_samples)


@torch.no_grad()
def test_a_clip_of_one_second_is_two_segments_at_48_khz():
    model = codec(STEREO)
    frames = model.encode(noise(model, 1, 48_000))
    assert [frame.codes.shape[-1] for frame in frames] == [150, 2]
    assert [frame.codes.shape[-1] for frame in model.encode(noise(model, 1, 47_520))] == [149]


@torch.no_grad()
def test_a_batch_is_its_items(model):
    wav = noise(model, 3, 50_000) * torch.tensor([0.1, 1.0, 10.0]).view(3, 1, 1)
    frames = model.encode(wav)
    decoded = model.decode(frames)
    for item in range(3):
        alone = model.encode(wav[item : item + 1])
        for frame, expected in zip(frames, alone, strict=True):
            # A last bit may turn a near tie, and then the codes after it.
            assert (frame.codes[item] == expected.codes[0]).float().mean() > 0.99
            assert frame.scale is None or torch.allclose(frame.scale[item], expected.scale[0])
        same_codes = model.decode(
            [(f.codes[item : item + 1], f.scale if f.scale is None else f.scale[item]) for f in frames]
        )
        torch.testing.assert_close(decoded[item : item + 1], same_codes, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_encode_and_decode_change_nothing(model, training, started):
    if not started:
        model = EncodecModel(model.config)
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = model.encode(noise(model, 2, 20_000))
    model.decode(first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.quantizer.gathered_vectors() == []
    assert torch.equal(model.encode(noise(model, 2, 20_000))[0].codes, first[0].codes)


@torch.no_grad()
def test_segments_are_scaled_by_the_loudness_of_their_mono_mix():
    model = codec(STEREO)
    wav = noise(model, 1, 60_000)
    wav[..., 48_000:] *= 100
    first, second = model.encode(wav)
    for frame, part in ((first, wav[..., :48_000]), (second, wav[..., 47_520:])):
        assert frame.scale.item() == pytest.approx(
            part.mean(1).square().mean().sqrt().item() + 1e-8, rel=1e-5
        )
    louder = model.encode(wav * 4)
    assert torch.equal(louder[0].codes, first.codes)
    torch.testing.assert_close(model.decode(louder), model.decode([first, second]) * 4)


def test_bandwidth_chooses_the_number_of_codebooks(model):
    wav = noise(model, 1, 1000)
    assert model.bandwidth == model.target_bandwidths[-1]
    top = model.encode(wav)[0].codes
    for bandwidth in model.target_bandwidths:
        model.set_target_bandwidth(bandwidth)
        codes = model.encode(wav)[0].codes
        assert (
            codes.shape[1] == model.num_codebooks_for(bandwidth) == model.config.num_codebooks_for(bandwidth)
        )
        assert torch.equal(codes, top[:, : codes.shape[1]])


def test_unsupported_bandwidths_are_refused(model):
    for call in (model.set_target_bandwidth, model.num_codebooks_for):
        with pytest.raises(
            ValueError, match=r"does not support a bandwidth of 5.5 kbps; choose one of .*1.8, 3.6"
        ):
            call(5.5)
    assert model.bandwidth == 3.6


def test_a_bandwidth_for_a_while(model):
    model.set_target_bandwidth(1.8)
    with model.at_bandwidth(3.6):
        assert model.bandwidth == 3.6
    with pytest.raises(ValueError, match="shape"), model.at_bandwidth(3.6):
        model.encode(torch.zeros(1))
    assert model.bandwidth == 1.8
    with pytest.raises(ValueError, match=r"5\.5 kbps"), model.at_bandwidth(5.5):
        pass
    assert model.bandwidth == 1.8


@pytest.mark.parametrize("shape", [(1, 3, 100), (1, 100), (100,), (1, 0, 100), (0,)])
def test_wrong_waveforms_are_refused(model, shape):
    with pytest.raises(
        ValueError, match=r"takes waveforms of shape \[batch, \d, samples\], got \[.*\]; see convert"
    ):
        model.encode(torch.zeros(shape))
    with pytest.raises(ValueError, match="got .*, 0]"):
        model.encode(torch.zeros(1, model.channels, 0))


def test_wrong_frames_are_refused(model):
    frame = model.encode(noise(model, 1, 1000))[0]
    with pytest.raises(ValueError, match="decodes .*one frame, got 0"):
        model.decode([])
    if model.segment_stride is None:
        with pytest.raises(ValueError, match="decodes one frame, got 2"):
            model.decode([frame, frame])
    too_many = torch.zeros(1, model.config.num_codebooks + 1, 4, dtype=torch.long)
    for codes in (too_many, too_many[:, :0]):
        with pytest.raises(
            ValueError, match=r"codes of shape .* must be \[batch, 1 to \d+ codebooks, frames\]"
        ):
            model.decode([(codes, frame.scale)])
    for wrong in (-1, model.config.codebook_size):
        codes = frame.codes.clone()
        codes[0, -1, 2] = wrong
        with pytest.raises(
            ValueError, match=rf"codes must be 0 to {model.config.codebook_size - 1}, got .*{wrong}"
        ):
            model.decode([(codes, frame.scale)])


def test_a_training_pass_is_what_encode_and_decode_give(model):
    """Once started, and at evaluation; the gradient reaches the encoder through the codes."""
    wav = noise(model, 2, 4000)
    bandwidth = model.target_bandwidths[0]
    num_codebooks = model.num_codebooks_for(bandwidth)
    result = model.forward_for_training(wav, num_codebooks, draw_seed=0)
    model.set_target_bandwidth(bandwidth)
    assert torch.equal(result.latent.codes, model.encode(wav)[0].codes)
    torch.testing.assert_close(result.reconstruction, model(wav), atol=1e-5, rtol=1e-4)
    result.reconstruction.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert sum(p.grad.abs().sum() for p in model.encoder.parameters()) > 0


@pytest.mark.parametrize("build", [EncodecModel.encodec_model_24khz, EncodecModel.encodec_model_48khz])
def test_repository_without_pretrained_is_refused(build, tmp_path):
    with pytest.raises(ValueError, match="only read with pretrained=True"):
        build(pretrained=False, repository=tmp_path)
