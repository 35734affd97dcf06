from collections import Counter

import pytest

from encodec_lab.training.draws import draw_step

BANDWIDTHS = [1.5, 3.0, 6.0, 12.0, 24.0]


def test_draws_hang_on_seed_and_step_alone():
    draws = [draw_step(7, step, BANDWIDTHS, 0.5) for step in range(50)]
    assert draws == [draw_step(7, step, BANDWIDTHS, 0.5) for step in range(50)]
    assert draw_step(7, 31, BANDWIDTHS, 0.5) == draws[31]
    assert draws != [draw_step(8, step, BANDWIDTHS, 0.5) for step in range(50)]
    assert len({draw.codebook_seed for draw in draws}) == 50
    assert all(0 <= draw.codebook_seed < 2**63 for draw in draws)


@pytest.mark.parametrize("probability", [0.0, 0.5, 2 / 3, 1.0])
def test_probability_of_the_discriminator(probability):
    draws = [draw_step(1, step, BANDWIDTHS, probability) for step in range(3000)]
    assert sum(draw.updates_discriminator for draw in draws) / 3000 == pytest.approx(probability, abs=0.03)


def test_bandwidth_is_uniform_and_independent_of_the_discriminator():
    draws = [draw_step(1, step, BANDWIDTHS, 0.5) for step in range(4000)]
    counts = Counter((draw.bandwidth_kbps, draw.updates_discriminator) for draw in draws)
    assert {kbps for kbps, _ in counts} == set(BANDWIDTHS)
    assert all(count / 4000 == pytest.approx(0.1, abs=0.02) for count in counts.values())
