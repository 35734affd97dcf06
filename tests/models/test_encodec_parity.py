"""The codec against the reference package: state dict, codes and audio at every bandwidth and many lengths."""

import pytest
import torch
from torch import Tensor

from encodec_lab.models.encodec import EncodecModel

NAMES = ["encodec_model_24khz", "encodec_model_48khz"]

# Samples at which every bandwidth is run: one sample, shorter than a padding, around the hop, an odd one.
SHORT_LENGTHS = [1, 2, 3, 7, 100, 319, 320, 321, 641, 2000, 5003]
# Samples at which the highest bandwidth is run: around the 48 kHz model's segments, up to 3 s.
LONG_LENGTHS = {
    "encodec_model_24khz": [24_000, 72_000],
    "encodec_model_48khz": [47_519, 47_520, 47_521, 47_999, 48_000, 48_001, 95_041, 144_000],
}


class Pair:
    """The reference and our codec, with the same random weights and codebooks."""

    def __init__(self, reference_package, name: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.reference = getattr(reference_package.EncodecModel, name)(pretrained=False)
        with torch.no_grad():
            latent = self.reference.encoder(0.1 * torch.randn(1, self.reference.channels, 16_000))
        # Spread as the latent is: with codebooks far off, a random model would use one code only.
        mean, std = latent.mean(2), latent.std(2)
        for k, layer in enumerate(self.reference.quantizer.vq.layers):
            layer._codebook.embed.normal_().mul_(std * 0.9**k).add_(mean if k == 0 else 0.0)
            layer._codebook.inited.fill_(1)
        self.ours = getattr(EncodecModel, name)(pretrained=False)
        self.ours.load_state_dict(self.reference.state_dict(), strict=True)

    @torch.no_grad()
    def compare(self, wav: Tensor, bandwidth: float) -> Tensor:
        """Encode and decode with both, which must agree to the bit; the codes of the first segment."""
        self.reference.set_target_bandwidth(bandwidth)
        self.ours.set_target_bandwidth(bandwidth)
        expected, frames = self.reference.encode(wav), self.ours.encode(wav)
        assert len(frames) == len(expected)
        for (codes, scale), (expected_codes, expected_scale) in zip(frames, expected, strict=True):
            assert torch.equal(codes, expected_codes)
            assert (scale is None) == (expected_scale is None)
            assert scale is None or torch.equal(scale, expected_scale)
        assert torch.equal(self.ours.decode(frames), self.reference.decode(expected))
        codes: Tensor = frames[0].codes
        return codes


@pytest.fixture(scope="module", params=NAMES)
def pair(request, reference_package) -> Pair:
    return Pair(reference_package, request.param, 0)


def noise(pair: Pair, batch_size: int, num_samples: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(batch_size, pair.ours.channels, num_samples, generator=generator)


def test_state_dict_has_the_keys_and_shapes_of_the_reference(pair):
    ours, reference = (
        {k: (v.shape, v.dtype) for k, v in m.state_dict().items()} for m in (pair.ours, pair.reference)
    )
    assert ours == reference
    pair.reference.load_state_dict(pair.ours.state_dict(), strict=True)


def test_properties_are_those_of_the_reference(pair):
    names = "sample_rate channels frame_rate bits_per_codebook target_bandwidths segment_length segment_stride name"
    for name in [*names.split(), "normalize", "training"]:
        assert getattr(pair.ours, name) == getattr(pair.reference, name), name


@pytest.mark.parametrize("num_samples", SHORT_LENGTHS)
def test_short_audio_at_every_bandwidth(pair, num_samples):
    wav = noise(pair, 2, num_samples, seed=num_samples)
    codes = [pair.compare(wav, bandwidth) for bandwidth in pair.ours.target_bandwidths]
    for fewer in codes:
        assert torch.equal(fewer, codes[-1][:, : fewer.shape[1]])


def test_codes_are_varied(pair):
    """The comparisons above would say little if a random model gave few codes."""
    codes = pair.compare(noise(pair, 1, 24_000), 6.0)
    assert all(codes[:, k].unique().numel() > 10 for k in range(codes.shape[1]))


@pytest.mark.parametrize("name", NAMES)
def test_long_audio(reference_package, name):
    pair = Pair(reference_package, name, 1)
    for num_samples in LONG_LENGTHS[name]:
        pair.compare(noise(pair, 1, num_samples, seed=num_samples), pair.ours.target_bandwidths[-1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [2, 3])
def test_other_weights(reference_package, name, seed):
    pair = Pair(reference_package, name, seed)
    for bandwidth in pair.ours.target_bandwidths:
        pair.compare(noise(pair, 1, 6401, seed=seed), bandwidth)


@torch.no_grad()
def test_forward_equals_the_reference(pair):
    wav = noise(pair, 1, 5001)
    for bandwidth in (3.0, 24.0):
        pair.reference.set_target_bandwidth(bandwidth)
        pair.ours.set_target_bandwidth(bandwidth)
        assert torch.equal(pair.ours(wav), pair.reference(wav))


def test_silence_and_loud_audio(pair):
    pair.compare(torch.zeros(1, pair.ours.channels, 4000), 6.0)
    pair.compare(noise(pair, 1, 4000) * 100, 6.0)
