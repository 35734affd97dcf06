"""The option that the reference has not: a codebook predicted from those before it in the same frame."""

import dataclasses

import pytest
import torch
from small_codec import SMALL_24KHZ
from small_lm import random_lm, small_lm_config

from encodec_lab.models.language_model import LMConfig, LMModel

SMALL = dataclasses.replace(small_lm_config(SMALL_24KHZ), within_frame=True)


def codes(num_codebooks=4, num_frames=6, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(SMALL.codebook_size, (2, num_codebooks, num_frames), generator=draws)


@torch.no_grad()
def test_a_codebook_hangs_on_those_before_it_in_its_frame_only():
    lm, past, present = random_lm(SMALL), 1 + codes(), codes(seed=1)
    before = lm.logits(past, None, 3, present).probabilities
    changed = present.clone()
    changed[:, 1, 4] = (changed[:, 1, 4] + 1) % SMALL.codebook_size
    after = lm.logits(past, None, 3, changed).probabilities
    differs = (before != after).any(dim=1).any(dim=0)  # [K, S]
    assert differs.nonzero().tolist() == [[2, 4], [3, 4]]


@torch.no_grad()
def test_the_formula():
    """`logits_k = linears[k](latent + sum_{j<k} frame_emb[j](codes_j))`, on what the plain model makes of the past."""
    lm, past, present = random_lm(SMALL), 1 + codes(), codes(seed=1)
    plain = LMModel(dataclasses.replace(SMALL, within_frame=False)).eval()
    plain.load_state_dict({n: t for n, t in lm.state_dict().items() if not n.startswith("frame_emb")})
    given = lm.logits(past, None, 3, present)
    expected = plain.logits(past, None, 3).probabilities
    for k in range(4):
        added = sum((lm.frame_emb[j](present[:, j]) for j in range(k)), start=torch.zeros(2, 6, SMALL.dim))
        extra = added @ lm.linears[k].weight.T  # [B, S, V]
        torch.testing.assert_close(given.probabilities[:, :, k], expected[:, :, k] + extra.transpose(1, 2))
    probabilities = lm(past, None, 3, present).probabilities
    torch.testing.assert_close(probabilities, given.probabilities.softmax(1))
    assert given.offset == 9


def test_present_codes_are_asked_for_and_refused():
    past = 1 + codes()
    with pytest.raises(ValueError, match="needs the present codes"):
        random_lm(SMALL)(past)
    with pytest.raises(ValueError, match="takes no present codes"):
        random_lm(dataclasses.replace(SMALL, within_frame=False)).logits(past, present=codes())


def test_configurations():
    values = SMALL.to_dict()
    assert values["within_frame"] is True
    assert LMConfig.from_dict(values) == SMALL
    del values["within_frame"]
    assert LMConfig.from_dict(values) == dataclasses.replace(SMALL, within_frame=False)
    with pytest.raises(ValueError, match="within_frame must be true or false, got 'yes'"):
        dataclasses.replace(SMALL, within_frame="yes")
    assert not any(n.startswith("frame_emb") for n in random_lm(small_lm_config(SMALL_24KHZ)).state_dict())
