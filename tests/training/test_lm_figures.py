import dataclasses
import math

import numpy as np
import pytest
import torch
from small_lm import random_lm, small_lm_config
from small_lm_run import CONFIG

from encodec_lab.data.code_crops import NO_CODE
from encodec_lab.training.lm_figures import FigureSums, code_bits, figures_table, named_figures

SMALL = small_lm_config(CONFIG)


def codes(num_records, num_frames, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(
        CONFIG.codebook_size, (num_records, CONFIG.num_codebooks, num_frames), generator=draws
    )


@torch.no_grad()
def stepwise_bits(lm, record):
    """Frame by frame as a coder goes, from the probabilities: [K]."""
    indices, states, offset = torch.zeros(1, record.shape[0], 1, dtype=torch.long), None, 0
    bits = torch.zeros(record.shape[0], dtype=torch.float64)
    for frame in record.T:
        present = frame[None, :, None] if lm.config.within_frame else None
        probabilities, states, offset = lm(indices, states, offset, present)
        for k, code in enumerate(frame.tolist()):
            bits[k] -= math.log2(float(probabilities[0, code, k, 0]))
        indices = 1 + frame[None, :, None]
    return bits


@pytest.mark.parametrize("within_frame", [False, True])
def test_figures_equal_an_independent_computation(within_frame):
    lm = random_lm(dataclasses.replace(SMALL, within_frame=within_frame))
    counts = torch.randint(50, (CONFIG.num_codebooks, CONFIG.codebook_size), generator=torch.Generator())
    sums = FigureSums(CONFIG, counts)
    batches = [codes(2, 9), codes(1, 4, seed=1)]
    for batch in batches:
        sums.add(lm, batch)
    records = [record for batch in batches for record in batch]
    num_frames = 9 + 9 + 4
    figures = sums.pop_figures(torch.device("cpu"))
    for row, num_codebooks in zip(figures, (1, 2, 4), strict=True):
        lm_bits = sum(float(stepwise_bits(lm, record[:num_codebooks]).sum()) for record in records)
        order0_bits = -sum(
            math.log2((float(counts[k, code]) + 1) / (float(counts[k].sum()) + 16))
            for record in records
            for k in range(num_codebooks)
            for code in record[k].tolist()
        )
        assert row.raw_bits == 4 * num_codebooks
        assert row.lm_bits == pytest.approx(lm_bits / num_frames, rel=1e-5)
        assert row.order0_bits == pytest.approx(order0_bits / num_frames)
        assert row.raw_kbps == row.bandwidth_kbps
        assert row.lm_kbps == pytest.approx(lm_bits / num_frames * 3_000 / 1000, rel=1e-5)
        assert row.lm_saving_percent == pytest.approx(100 - 100 * row.lm_kbps / row.raw_kbps)
        named = named_figures(figures)
        assert named[f"valid/lm_kbps/{row.bandwidth_kbps:g}kbps"] == row.lm_kbps
        assert f"| {row.lm_saving_percent:.1f} % | {row.order0_saving_percent:.1f} % |" in figures_table(
            figures
        )
    sums.add(lm, batches[1])
    assert sums.pop_figures(torch.device("cpu"))[0].lm_bits != figures[0].lm_bits, "the sums start anew"


def test_what_fills_up_costs_nothing():
    lm, batch = random_lm(SMALL), codes(2, 9)
    filled = batch.clone()
    filled[1, :, 5:] = NO_CODE
    bits, expected = code_bits(lm, filled, 7), code_bits(lm, batch, 7)
    assert bool((bits[1, :, 5:] == 0).all())
    torch.testing.assert_close(bits[0], expected[0])
    torch.testing.assert_close(bits[1, :, :5], expected[1, :, :5])
    assert not np.allclose(expected.detach(), code_bits(lm, batch, 0).detach())
