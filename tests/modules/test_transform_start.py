"""A codec that starts as a cosine transform of blocks."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.fft import dct
from small_codec import SMALL_24KHZ, SMALL_48KHZ

from encodec_lab.models.config import CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.transform_start import start_as_block_transform_

# Blocks of 320 samples dealt out to 2, 8 and 40 channels, of which 32 coefficients are kept.
CONFIG = dataclasses.replace(
    SMALL_24KHZ, strides=(2, 4, 5, 8), num_filters=8, latent_dim=32, num_lstm_layers=0, num_residual_units=2
)


def _started(config: CodecConfig = CONFIG) -> EncodecModel:
    torch.manual_seed(0)
    model = EncodecModel(config).eval()
    start_as_block_transform_(model.encoder, model.decoder)
    return model


def _low_tones(num_samples: int) -> np.ndarray:
    """Below 1,200 Hz, which 32 of 320 coefficients reach."""
    draws = np.random.default_rng(0)
    time_s = np.arange(num_samples) / 24_000
    tones = [np.sin(2 * np.pi * (hz * time_s + draws.random())) for hz in (110.0, 280.0, 430.0, 610.0)]
    return (0.02 * np.sum(tones, axis=0)).astype(np.float32)


@torch.no_grad()
def test_the_latent_is_the_cosine_transform_of_blocks() -> None:
    samples = _low_tones(320 * 12)
    latent = _started().encoder(torch.from_numpy(samples)[None, None])[0].numpy()
    expected = dct(samples.reshape(-1, 320), norm="ortho")[:, :32].T
    assert latent.shape == expected.shape
    assert np.square(latent - expected).sum() < 0.01 * np.square(expected).sum()


@torch.no_grad()
def test_the_decoder_undoes_it() -> None:
    model = _started()
    wav = torch.from_numpy(_low_tones(320 * 12))[None, None]
    error = model.decoder(model.encoder(wav)) - wav
    assert error.square().sum() < 0.03 * wav.square().sum()  # 15 dB; a block's edges take the most of it


def test_everything_learns() -> None:
    model = _started()
    model.decoder(model.encoder(0.1 * torch.randn(1, 1, 3_200))).square().sum().backward()
    for part in (model.encoder, model.decoder):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dataclasses.replace(CONFIG, num_lstm_layers=1), "without LSTM"),
        (dataclasses.replace(CONFIG, causal=False), "causal"),
        (SMALL_48KHZ, "mono"),
        (dataclasses.replace(CONFIG, num_filters=2), "too narrow for 40"),
        (dataclasses.replace(CONFIG, latent_dim=160), "too narrow for 160"),
        (dataclasses.replace(CONFIG, strides=(2, 4), bandwidths=(18.0,)), "block of 8 samples has no 32"),
        (dataclasses.replace(CONFIG, num_residual_units=0), "has residual units"),
    ],
)
def test_other_architectures_are_refused(config: CodecConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _started(config)
