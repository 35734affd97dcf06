"""Language models with random weights, and the reference's twins of them."""

import dataclasses

import torch
from torch import nn

from encodec_lab.models.config import CodecConfig
from encodec_lab.models.integer_conversion import to_integer_lm
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, LMConfig, LMModel


def small_lm_config(codec: CodecConfig) -> LMConfig:
    """A language model for a codec that takes a fraction of a millisecond per frame and looks back five frames."""
    return dataclasses.replace(
        ENCODEC_LM_24KHZ,
        num_codebooks=codec.num_codebooks,
        codebook_size=codec.codebook_size,
        dim=16,
        num_heads=2,
        num_layers=2,
        feedforward_dim=32,
        past_context_frames=5,
    )


def random_lm(config: LMConfig, seed: int = 0) -> LMModel:
    """Random weights; the heads are scaled up, so that some codes are likely and others next to impossible."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        lm = LMModel(config).eval()
        for k, head in enumerate(lm.linears):
            assert isinstance(head, nn.Linear)
            head.weight.data *= (1.0, 3.0, 8.0)[k % 3]
    return lm


def random_integer_lm(codec: CodecConfig, seed: int = 0) -> IntegerLM:
    """In integers, with random weights and for random codes."""
    draws = torch.Generator().manual_seed(seed)
    codes = torch.randint(codec.codebook_size, (1, codec.num_codebooks, 50), generator=draws)
    return to_integer_lm(random_lm(small_lm_config(codec), seed), codes)


def reference_twin(lm: LMModel) -> nn.Module:
    """The reference's language model with the same weights; needs the fixture `reference_package`."""
    from encodec.model import LMModel as ReferenceLMModel

    config = lm.config
    twin = ReferenceLMModel(
        config.num_codebooks,
        config.codebook_size,
        config.dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_scale=config.feedforward_dim / config.dim,
        past_context=config.past_context_frames,
        max_period=config.max_period,
    )
    twin.load_state_dict(lm.state_dict(), strict=True)
    return twin.eval()
