"""Lengths and causality of the SEANet encoder and decoder."""

import math
from dataclasses import replace

import pytest
import torch

from encodec_lab.modules.lstm import SkipLSTM
from encodec_lab.modules.seanet import SeanetDecoder, SeanetEncoder, SeanetShape

CAUSAL = SeanetShape(
    channels=1,
    latent_dim=5,
    num_filters=4,
    strides=(2, 4, 5, 8),
    num_residual_units=1,
    kernel_size=7,
    last_kernel_size=7,
    residual_kernel_size=3,
    dilation_base=2,
    compress=2,
    num_lstm_layers=2,
    causal=True,
    norm="weight_norm",
)
NON_CAUSAL = replace(CAUSAL, channels=2, causal=False, norm="time_group_norm")


def encoder(shape: SeanetShape) -> SeanetEncoder:
    torch.manual_seed(0)
    return SeanetEncoder(shape)


def decoder(shape: SeanetShape) -> SeanetDecoder:
    torch.manual_seed(0)
    return SeanetDecoder(shape)


@pytest.mark.parametrize("shape", [CAUSAL, NON_CAUSAL, replace(CAUSAL, strides=(3, 2))])
@pytest.mark.parametrize("num_samples", [1, 2, 5, 6, 7, 319, 320, 321, 639, 640, 641, 3000])
@torch.no_grad()
def test_a_latent_frame_for_every_started_hop(shape, num_samples):
    hop = math.prod(shape.strides)
    latent = encoder(shape)(torch.randn(2, shape.channels, num_samples))
    assert latent.shape == (2, shape.latent_dim, -(-num_samples // hop))
    assert decoder(shape)(latent).shape == (2, shape.channels, latent.shape[-1] * hop)


@torch.no_grad()
def test_causal_encoder_hears_nothing_of_the_future():
    """Past the start, that is: its first frames hear the audio that reflection puts before it, up to frame 6."""
    wav = torch.randn(1, 1, 320 * 20)
    changed = wav.clone()
    changed[..., 320 * 10 :] += torch.randn(320 * 10)
    model = encoder(CAUSAL)
    assert torch.equal(model(wav)[..., :10], model(changed)[..., :10])
    assert not torch.allclose(model(wav)[..., 10:], model(changed)[..., 10:])
    open_model = encoder(replace(CAUSAL, causal=False))
    assert not torch.allclose(open_model(wav)[..., :10], open_model(changed)[..., :10])


@torch.no_grad()
def test_causal_decoder_hears_nothing_of_the_future():
    latent = torch.randn(1, 5, 20)
    changed = latent.clone()
    changed[..., 10:] += torch.randn(10)
    model = decoder(CAUSAL)
    assert torch.equal(model(latent)[..., : 320 * 10], model(changed)[..., : 320 * 10])
    assert not torch.allclose(model(latent)[..., 320 * 10 :], model(changed)[..., 320 * 10 :])
    open_model = decoder(replace(CAUSAL, causal=False))
    assert not torch.allclose(open_model(latent)[..., : 320 * 10], open_model(changed)[..., : 320 * 10])


@torch.no_grad()
def test_a_hop_of_audio_moves_the_latent_by_one_frame():
    """Away from the edges and without the LSTM's memory, the encoder commutes with shifts by one hop."""
    model = encoder(replace(CAUSAL, num_lstm_layers=0))
    wav = torch.randn(1, 1, 320 * 30)
    torch.testing.assert_close(model(wav)[..., 16:], model(wav[..., 320:])[..., 15:], rtol=1e-4, atol=1e-5)


def test_zero_lstm_layers_is_no_lstm():
    for build in (encoder, decoder):
        with_lstm, without = build(CAUSAL), build(replace(CAUSAL, num_lstm_layers=0))
        assert sum(isinstance(module, SkipLSTM) for module in with_lstm.modules()) == 1
        assert not any(isinstance(module, SkipLSTM) for module in without.modules())


def test_residual_units_have_growing_dilations():
    units = [
        module.effective_kernel_size
        for module in encoder(replace(CAUSAL, num_residual_units=3)).model[1:4]
        for module in [module.block[1]]
    ]
    assert units == [3, 5, 9]


@pytest.mark.parametrize("ours", [CAUSAL, NON_CAUSAL, replace(CAUSAL, num_residual_units=3)])
@torch.no_grad()
def test_equals_the_reference(reference_package, ours):
    settings = {
        "channels": ours.channels, "dimension": ours.latent_dim, "n_filters": ours.num_filters,
        "n_residual_layers": ours.num_residual_units, "norm": ours.norm, "causal": ours.causal,
        "ratios": list(reversed(ours.strides)),
    }  # fmt: skip
    for build, theirs in (
        (encoder, reference_package.modules.SEANetEncoder(**settings)),
        (decoder, reference_package.modules.SEANetDecoder(**settings)),
    ):
        model = build(ours)
        theirs.load_state_dict(model.state_dict())
        x = torch.randn(2, ours.channels, 1000) if build is encoder else torch.randn(2, ours.latent_dim, 7)
        assert torch.equal(model(x), theirs(x))
