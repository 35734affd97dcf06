"""A codec that starts as a cosine transform of the low frequencies and a channel vocoder of the others."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy.fft import dct
from small_codec import SMALL_24KHZ, SMALL_48KHZ

from encodec_lab.models.config import CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.vocoder_latent import NUM_BANDS, VocoderShape, compand, expand, scaled_level
from encodec_lab.modules.vocoder_start import start_as_transform_vocoder_

NUM_LOW = 20  # coefficients of 320, up to 750 Hz
CONFIG = dataclasses.replace(
    SMALL_24KHZ,
    strides=(2, 4, 5, 8, 1),
    num_filters=16,
    latent_dim=NUM_LOW + NUM_BANDS,
    num_lstm_layers=0,
    num_residual_units=1,
    compress=1,
)


def _started(config: CodecConfig = CONFIG) -> EncodecModel:
    torch.manual_seed(0)
    model = EncodecModel(config).eval()
    start_as_transform_vocoder_(model.encoder, model.decoder)
    return model


def _noise(level_db: float, num_blocks: int = 24) -> np.ndarray:
    """Falling by 20 dB from the lowest coefficient to the highest, blocks of many levels."""
    draws = np.random.default_rng(0)
    levels = 10 ** ((level_db + draws.uniform(-12, 12, (num_blocks, 1)) - np.linspace(0, 20, 320)) / 20)
    blocks = draws.standard_normal((num_blocks, 320)) * levels
    samples: np.ndarray = dct(blocks, type=3, norm="ortho").astype(np.float32).reshape(-1)
    return samples


def _bands(samples: np.ndarray) -> np.ndarray:
    """RMS of each band's coefficients, [bands, blocks]."""
    coefficients = dct(samples.reshape(-1, 320), norm="ortho")
    edges = itertools.pairwise(np.round(20 * 2 ** (np.arange(13) / 3)).astype(int))
    return np.stack([np.sqrt(np.square(coefficients[:, start:end]).mean(1)) for start, end in edges])


def test_bands_are_thirds_of_octaves_up_to_half_the_rate() -> None:
    shape = VocoderShape(hop_length=320, num_low=20)
    assert shape.bands[0][0] == 20 and shape.bands[-1][1] == 320
    assert [start for start, _ in shape.bands[::3]] == [20, 40, 80, 160]
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(shape.bands))


@pytest.mark.parametrize("level_db", [-46.0, -34.0, -24.0])
@torch.no_grad()
def test_the_latent_is_companded_coefficients_and_levels(level_db: float) -> None:
    samples = _noise(level_db)
    latent = _started().encoder(torch.from_numpy(samples)[None, None])[0]
    coefficients = torch.from_numpy(dct(samples.reshape(-1, 320), norm="ortho")[:, :NUM_LOW].T)
    expected = compand(coefficients)
    assert latent.shape == (32, 24)
    latent = latent / VocoderShape(hop_length=320, num_low=NUM_LOW).weights[:, None]
    assert (latent[:NUM_LOW] - expected).square().sum() < 1e-3 * expected.square().sum()
    error_db = (latent[NUM_LOW:] - scaled_level(torch.from_numpy(_bands(samples)))) / 0.02
    assert error_db.square().mean().sqrt() < 3.0  # of nine rectified samples a band


@torch.no_grad()
def test_the_decoder_gives_back_low_coefficients_and_levels_of_bands() -> None:
    model = _started()
    samples = _noise(-24.0)
    decoded = model.decoder(model.encoder(torch.from_numpy(samples)[None, None]))[0, 0].numpy()
    low, decoded_low = (
        dct(signal.reshape(-1, 320), norm="ortho")[:, :NUM_LOW] for signal in (samples, decoded)
    )
    assert np.square(low - decoded_low).sum() < 0.01 * np.square(low).sum()
    error_db = 20 * np.log10(_bands(decoded) / _bands(samples))
    assert np.sqrt(np.square(error_db).mean()) < 3.5


def test_what_words_do_not_need_counts_half() -> None:
    weights = VocoderShape(hop_length=320, num_low=NUM_LOW).weights.tolist()
    assert weights == [0.5] * 3 + [1.0] * 25 + [0.5] * 4


def test_companding_is_undone() -> None:
    coefficients = torch.linspace(-5, 5, 1001)
    torch.testing.assert_close(expand(compand(coefficients)), coefficients)


def test_everything_learns() -> None:
    model = _started()
    parts = (model.encoder, model.decoder)
    optimizer = torch.optim.Adam([parameter for part in parts for parameter in part.parameters()], lr=1e-4)
    for _ in range(2):  # the first step opens what the start has left closed
        optimizer.zero_grad()
        model.decoder(model.encoder(0.1 * torch.randn(1, 1, 3_200))).square().sum().backward()
        optimizer.step()
    for part in parts:
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
            assert bool(parameter.grad.abs().sum() > 0), name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dataclasses.replace(CONFIG, num_lstm_layers=1), "without LSTM"),
        (dataclasses.replace(CONFIG, causal=False), "causal"),
        (SMALL_48KHZ, "mono"),
        (dataclasses.replace(CONFIG, num_filters=8), "use more num_filters"),
        (dataclasses.replace(CONFIG, compress=2), "a residual unit at the frame rate has 128 channels"),
        (dataclasses.replace(CONFIG, latent_dim=12), "others for coefficients"),
        (dataclasses.replace(CONFIG, strides=(2, 4, 5, 8)), "a last one of 1"),
        (dataclasses.replace(CONFIG, num_residual_units=0), "has residual units"),
    ],
)
def test_other_architectures_are_refused(config: CodecConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _started(config)
