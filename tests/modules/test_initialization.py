import dataclasses

import pytest
import torch
from torch import nn

from encodec_lab.discriminators.ms_stft import MultiScaleStftDiscriminator
from encodec_lab.losses import DiscriminatorHingeLoss
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.initialization import preserve_discriminated_signal_, preserve_signal_

# The published depth and strides; half the filters, for speed.
CONFIGS = [dataclasses.replace(config, num_filters=16) for config in (ENCODEC_24KHZ, ENCODEC_48KHZ)]


def codec(config, seed=0, preserving=True) -> EncodecModel:
    torch.manual_seed(seed)
    model = EncodecModel(config)
    if preserving:
        preserve_signal_(model)
    return model.eval()


def quiet_speech(config) -> torch.Tensor:
    """Noise [2, C, T] with the spectrum of speech, roughly, at -40 dBFS."""
    noise = torch.randn(
        2, config.channels, config.sample_rate_hz // 2, generator=torch.Generator().manual_seed(1)
    )
    smooth = nn.functional.avg_pool1d(noise, 8, stride=1, padding=4)[..., : noise.shape[-1]]
    return 0.01 * smooth / smooth.std()


def variation(signals: torch.Tensor) -> torch.Tensor:
    """How much the two signals of [2, D, T] differ: what is known of the input, which biases do not add to."""
    return (signals[0] - signals[1]).square().mean().sqrt()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_signal_lives_through_every_layer(seed):
    model = codec(CONFIGS[0], seed)
    signal = quiet_speech(CONFIGS[0])
    level = variation(signal)
    with torch.no_grad():
        for network in (model.encoder, model.decoder):
            for layer in network.model:
                signal = layer(signal)
                assert level / 3 < variation(signal) < 3 * level, layer


@torch.no_grad()
def test_torchs_own_start_loses_the_signal():
    wav = quiet_speech(CONFIGS[0])
    torchs = codec(CONFIGS[0], preserving=False)
    latent = torchs.encoder(wav)
    assert variation(latent) < 0.01 * variation(wav)
    output = torchs.decoder(latent)
    assert output.mean(-1).abs().max() > 1000 * variation(output), "the output is a constant"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@torch.no_grad()
def test_a_codec_starts_without_a_constant_in_its_output(config):
    model = codec(config)
    output = model.decoder(model.encoder(quiet_speech(config)))
    assert output.isfinite().all()
    assert output.mean(-1).abs().max() < variation(output)


def test_biases_are_zero_and_weights_have_the_variance_of_their_fan_in():
    model = codec(CONFIGS[0])
    convs = [module for module in model.modules() if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)]
    assert len(convs) == 36
    assert all(conv.bias is not None and not conv.bias.any() for conv in convs)
    first_strided = model.encoder.model[3].conv.conv
    fan_in = first_strided.in_channels * first_strided.kernel_size[0]
    assert first_strided.weight_v.std().item() == pytest.approx(fan_in**-0.5, rel=0.1)
    # A residual unit adds two branches, each of half the variance.
    shortcut = model.encoder.model[10].shortcut.conv.conv
    assert shortcut.weight_v.std().item() == pytest.approx((0.5 / shortcut.in_channels) ** 0.5, rel=0.1)


def test_weight_norm_starts_at_the_drawn_weights():
    model = codec(CONFIGS[0])
    for name, parameter in model.named_parameters():
        if name.endswith("weight_g"):
            drawn = model.get_parameter(name.removesuffix("g") + "v")
            torch.testing.assert_close(parameter, torch.linalg.vector_norm(drawn, dim=(1, 2), keepdim=True))


def test_draws_come_from_torchs_generator():
    first, again, other = (codec(CONFIGS[0], seed).encoder.model[0].conv.conv.weight_v for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def discriminator_losses(preserving: bool) -> list[float]:
    """The hinge loss over 120 updates on quiet noise against the same noise, muffled."""
    torch.manual_seed(0)
    discriminator = MultiScaleStftDiscriminator([256, 128], num_filters=4, leaky_relu_slope=0.2)
    if preserving:
        preserve_discriminated_signal_(discriminator, 0.2)
    optimizer = torch.optim.Adam(discriminator.parameters(), 3e-4, (0.5, 0.9))
    hinge = DiscriminatorHingeLoss()
    losses = []
    for _ in range(120):
        real = 0.03 * torch.randn(4, 1, 2000)
        muffled = nn.functional.avg_pool1d(real, 5, stride=1, padding=2)
        loss = hinge(discriminator(real), discriminator(muffled))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_discriminator_learns_from_the_start():
    assert discriminator_losses(preserving=True)[-1] < 1.0
    assert discriminator_losses(preserving=False)[-1] > 1.5, "torch's own start would do as well"


def test_silence_before_a_group_norm_gives_finite_gradients():
    model = codec(CONFIGS[1]).train()
    wav = 0.1 * torch.randn(2, 2, 24_000)
    wav[0] = 0.0
    model.decoder(model.encoder(wav)).square().sum().backward()
    assert all(
        parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None
    )
