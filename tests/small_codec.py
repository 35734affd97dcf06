"""Codecs with random weights and random codebooks, for tests that do not care how audio sounds."""

import dataclasses

import torch

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel

# A mono codec in one piece and a stereo one with segments and scales, both small enough for milliseconds.
SMALL_24KHZ = dataclasses.replace(
    ENCODEC_24KHZ,
    name="small_24khz",
    num_filters=2,
    latent_dim=8,
    codebook_size=64,
    bandwidths=(0.9, 1.8, 6.0),
)
SMALL_48KHZ = dataclasses.replace(
    ENCODEC_48KHZ, name="small_48khz", num_filters=2, latent_dim=8, codebook_size=64, bandwidths=(1.8, 3.6)
)


def random_codec(config: CodecConfig, seed: int = 0) -> EncodecModel:
    """A codec with random weights; codebooks, zero in a new model, are drawn too, so that all codes occur."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EncodecModel(config).eval()
        for codebook in model.quantizer.codebooks:
            codebook.embed.normal_(std=0.05)
            codebook.embed_avg.copy_(codebook.embed)
            codebook.cluster_size.fill_(1.0)
            codebook.inited.fill_(1.0)
    return model


def random_wav(channels: int, num_samples: int, seed: int = 0) -> torch.Tensor:
    """Noise [C, T] with an RMS of 0.1."""
    return 0.1 * torch.randn(channels, num_samples, generator=torch.Generator().manual_seed(seed))
