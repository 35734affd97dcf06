import dataclasses

import pytest
import torch
from small_codec import random_codec
from small_lm import random_lm, small_lm_config
from small_lm_run import CONFIG

from encodec_lab.training.lm_start import start_from_codebooks_

CODEC = random_codec(CONFIG)
ENTRIES = [codebook.embed for codebook in CODEC.quantizer.codebooks]
COUNTS = torch.arange(4 * 16).view(4, 16)


def started(**changes):
    lm = random_lm(dataclasses.replace(small_lm_config(CONFIG), **changes))
    start_from_codebooks_(lm, ENTRIES, COUNTS)
    return lm


def test_codes_are_as_far_apart_as_their_entries():
    lm = started()
    embedded = [lm.emb[k].weight[1:] for k in range(4)]
    scale = torch.cdist(ENTRIES[0], ENTRIES[0]).sum() / torch.cdist(embedded[0], embedded[0]).sum()
    for mine, theirs in zip(embedded, ENTRIES, strict=True):
        torch.testing.assert_close(scale * torch.cdist(mine, mine), torch.cdist(theirs, theirs))
        torch.testing.assert_close(scale * torch.cdist(mine, embedded[0]), torch.cdist(theirs, ENTRIES[0]))


def test_without_context_the_shares_are_predicted():
    lm = started()
    shares = (COUNTS + 1) / (COUNTS + 1).sum(1, keepdim=True)
    for k in range(4):
        torch.testing.assert_close(lm.linears[k](torch.zeros(16)).softmax(0), shares[k])
        torch.testing.assert_close(lm.linears[k].weight.sum(0), torch.zeros(16), atol=1e-5, rtol=0)


def test_codes_of_the_frame_count_for_nothing_at_first():
    lm = started(within_frame=True)
    for j in range(3):
        assert not bool(lm.frame_emb[j].weight.any())


@pytest.mark.parametrize("dim", [4, 8, 32])
def test_any_dimension(dim):
    lm = started(dim=dim)
    assert all(bool(tensor.isfinite().all()) for tensor in lm.state_dict().values())
    embedded = sum(lm.emb[k].weight[1:].detach().var(0).sum() for k in range(4)) / dim
    assert 0.4 < float(embedded) <= 1.01


def test_codebooks_without_spread():
    lm = random_lm(small_lm_config(CONFIG))
    start_from_codebooks_(lm, [torch.zeros(16, 8)] * 4, COUNTS)
    assert all(bool(tensor.isfinite().all()) for tensor in lm.state_dict().values())
